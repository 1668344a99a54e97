import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import type { Replay, ReplayMessage, ReplaysPage } from '../../client/index.ts'
import { formatCount, formatTime } from '../format.ts'
import { setFilters } from '../location.tsx'
import { isParkedChange } from '../parked/parked-messages.ts'
import { Empty, Loaded, usePages } from '../resource.tsx'
import { type Column, createSelection, Rows } from '../rows.tsx'
import type { Session } from '../session.ts'

export function ReplayList({ session }: { readonly session: Session }) {
  const cursor = useMemo(createSelection, [])
  const isRunning = useSignal(false)
  const list = usePages<Replay, ReplaysPage>((query) => session.client.replays(query), [session, isRunning.value], {
    refreshOn: isParkedChange,
    minIntervalMs: RUNNING_MS,
    pollMs: isRunning.value ? RUNNING_MS : RESTING_MS,
  })
  const { value } = list.data
  useEffect(() => void (isRunning.value = value?.items.some(({ state }) => state === 'running') === true), [value])
  return (
    <Loaded resource={list}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="No replays in the last 30 days">
            A replay sends parked messages through their functions again. To start one, select messages on the page
            Parked and press Replay.
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
  { title: 'Remaining', isNumber: true, cell: ({ counts }) => formatCount(counts.waiting + counts.sent) },
  { title: 'Rate', isNumber: true, cell: ({ rate }) => `${formatCount(rate)}/s` },
]

const Failed = ({ count }: { readonly count: number }) => (
  <span class={count > 0 ? 'bad' : ''}>{formatCount(count)}</span>
)

/** How often (ms) replays are read while one runs: sending a message adds nothing to the change stream. */
export const RUNNING_MS = 2_000
/** How often (ms) replays are read otherwise: another user may start one. */
export const RESTING_MS = 15_000

export type Outcome = ReplayMessage['outcome']

/** The outcomes of a message of a replay. */
export const OUTCOMES: Readonly<
  Record<Outcome, { readonly label: string; readonly class: string; readonly means: string }>
> = {
  waiting: { label: 'waiting', class: '', means: 'Not sent yet' },
  sent: { label: 'sent', class: '', means: 'Sent to its queue; the outcome is not known yet' },
  handled: { label: 'handled', class: 'good', means: 'Handled by its function, and no longer parked' },
  failed_again: { label: 'failed again', class: 'bad', means: 'Parked again, with the new reason' },
  skipped: { label: 'skipped', class: 'warn', means: 'Not sent: gone, deleted, or sent by another replay' },
}
export const OUTCOME_NAMES = Object.keys(OUTCOMES) as Outcome[]

export function State({ replay: { state, counts, waits_for: waitsFor } }: { readonly replay: Replay }) {
  if (waitsFor === 'relay') return <span class="tag warn">waits for a relay</span>
  if (state === 'running') return <span class="tag">running</span>
  if (state === 'stopped') return <span class="tag warn">stopped</span>
  return <span class={`tag ${counts.failed_again > 0 ? 'bad' : 'good'}`}>done</span>
}

/** Shows how many messages of a replay have an outcome. */
export function Progress({ replay: { counts, state, relay } }: { readonly replay: Replay }) {
  const ended = counts.handled + counts.failed_again + counts.skipped
  const all = ended + counts.waiting + counts.sent
  if (all === 0) return <>{relay > 0 ? 'by the relay' : state === 'running' ? 'starting' : '–'}</>
  return (
    <progress
      max={all}
      value={ended}
      aria-label={`${formatCount(ended)} of ${formatCount(all)} messages`}
      title={`${formatCount(ended)} of ${formatCount(all)}`}
    />
  )
}

/** Describes which messages a replay sends. */
export function describeReplay({ filter, cdrs, relay }: Replay): string {
  if (cdrs !== null)
    return inWords('CDRs', [
      ['of campaign', cdrs.campaign],
      ['of agent', cdrs.agent],
      ['that ended with', cdrs.end_reason],
      ['dialled since', cdrs.from && formatTime(cdrs.from)],
      [cdrs.from === undefined ? 'dialled until' : 'until', cdrs.to && formatTime(cdrs.to)],
    ])
  if (filter === null) return relay > 0 ? 'Selected messages, some of the relay' : 'Selected messages'
  return inWords(filter.from === 'relay' ? 'Messages of the relay' : 'All messages', [
    ['of', filter.route],
    ['from', filter.source],
    ['with status', filter.status],
    ['with the cause', filter.cause && `“${filter.cause}”`],
    ['whose reason contains', filter.reason && `“${filter.reason}”`],
    ['with the reference', filter.reference],
    ['of notification', filter.notification],
    ['parked since', filter.since && formatTime(filter.since)],
    [filter.since === undefined ? 'parked until' : 'until', filter.until && formatTime(filter.until)],
  ])
}

const inWords = (what: string, parts: readonly (readonly [string, string | number | undefined])[]): string => {
  const given = parts.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`${name} ${value}`]))
  return given.length === 0 ? what : `${what} ${given.join(', ')}`
}
