import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import type { Replay, ReplaysPage } from '../../client/index.ts'
import { formatCount, formatTime } from '../format.ts'
import { filters, setFilters } from '../location.tsx'
import { describeReplay, isParked } from '../parked/parked-filter.ts'
import { Empty, Loaded, usePages } from '../resource.tsx'
import { type Column, createSelection, Rows } from '../rows.tsx'
import type { Session } from '../session.ts'
import { ReplayDetails } from './replay-details.tsx'
import { Progress, RESTING_MS, RUNNING_MS, State } from './replay-state.tsx'

export function Replays({ session }: { readonly session: Session }) {
  const { id } = filters.value
  return id === undefined ? <ReplayList session={session} /> : <ReplayDetails key={id} session={session} id={id} />
}

function ReplayList({ session }: { readonly session: Session }) {
  const cursor = useMemo(createSelection, [])
  const isRunning = useSignal(false)
  const list = usePages<Replay, ReplaysPage>((query) => session.client.replays(query), [session, isRunning.value], {
    on: isParked,
    leastMs: RUNNING_MS,
    everyMs: isRunning.value ? RUNNING_MS : RESTING_MS,
  })
  const { value } = list.data
  useEffect(() => void (isRunning.value = value?.items.some(({ state }) => state === 'running') === true), [value])
  return (
    <Loaded resource={list}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="No replays in the last 30 days">
            A replay sends parked messages through their functions again. Select messages on the page Parked, then
            Replay.
          </Empty>
        ) : (
          <Rows
            label="Replays"
            items={items}
            idOf={(replay) => replay.id}
            cursor={cursor}
            onOpen={(replay: Replay) => setFilters({ id: replay.id })}
            onEnd={list.more}
            columns={COLUMNS}
          />
        )
      }
    </Loaded>
  )
}

const COLUMNS: readonly Column<Replay>[] = [
  { title: 'Started', cell: ({ created_at: at }) => formatTime(at) },
  { title: 'State', cell: (replay) => <State replay={replay} /> },
  { title: 'Messages', cell: (replay) => <span title={describeReplay(replay)}>{describeReplay(replay)}</span> },
  { title: 'By', cell: ({ operator }) => operator ?? '–' },
  { title: 'Progress', cell: (replay) => <Progress replay={replay} /> },
  { title: 'Handled', isNumber: true, cell: ({ counts }) => formatCount(counts.handled) },
  { title: 'Failed again', isNumber: true, cell: ({ counts }) => <Failed count={counts.failed_again} /> },
  { title: 'Skipped', isNumber: true, cell: ({ counts }) => formatCount(counts.skipped) },
  { title: 'Left', isNumber: true, cell: ({ counts }) => formatCount(counts.waiting + counts.sent) },
  { title: 'Rate', isNumber: true, cell: ({ rate }) => `${formatCount(rate)}/s` },
]

const Failed = ({ count }: { readonly count: number }) => (
  <span class={count > 0 ? 'bad' : ''}>{formatCount(count)}</span>
)
