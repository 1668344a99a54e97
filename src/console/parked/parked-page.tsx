import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { ParkedGroups } from '../../client/index.ts'
import { formatCount, formatNumberOf } from '../format.ts'
import { useKeys } from '../keyboard.ts'
import { FilterBar, filters, setFilters } from '../location.tsx'
import { ReplayDialog } from '../replays/replay-dialogs.tsx'
import { Loaded, useResource } from '../resource.tsx'
import { createSelection } from '../rows.tsx'
import { mayOperate, type Session } from '../session.ts'
import { say, sayProblem } from '../status-bar.tsx'
import { DeleteDialog } from './bin-page.tsx'
import { ParkedEntry } from './parked-entry-dialog.tsx'
import { isFiltered, isParked, NO_FILTERS, PARKED_FIELDS, privateFilters, type Selected, toParkedFilter } from './parked-messages.ts'
import { NothingParked, ParkedCauses, ParkedList, ParkedQueues } from './parked-views.tsx'

/** What somebody is asked about before it is done. */
type Question = { readonly does: 'replay' | 'delete'; readonly selected: Selected }

const VIEWS = ['causes', 'queues', 'messages'] as const
type View = (typeof VIEWS)[number]

/** What was selected stays selected while somebody looks at another page, and comes back. */
const selection = createSelection()
let selectedFrom: readonly [Session, string] | undefined

export function Parked({ session }: { readonly session: Session }) {
  const values = filters.value
  const filter = toParkedFilter(values)
  const key = JSON.stringify(filter)
  const view = VIEWS.find((one) => one === values['view']) ?? 'causes'
  const question = useSignal<Question | undefined>(undefined)
  // It goes through all entries, so it is not read as often as the list.
  const groups = useResource((signal) => session.client.parkedGroups({ ...filter, signal }), [session, key], {
    on: isParked,
    leastMs: 3_000,
  })
  useEffect(() => {
    if (selectedFrom?.[0] !== session || selectedFrom[1] !== key) selection.clear()
    selectedFrom = [session, key]
  }, [session, key])
  const ask = (does: Question['does'], selected: Selected) => {
    setFilters({ id: '' })
    question.value = { does, selected }
  }
  const close = () => void (question.value = undefined)
  const asked = question.value
  return (
    <>
      <FilterBar fields={PARKED_FIELDS}>
        {values['cause'] !== undefined && (
          <p class="tag">
            Cause: {values['cause']}{' '}
            <button class="quiet" aria-label="Show all causes" onClick={() => setFilters({ cause: '' })}>
              ✕
            </button>
          </p>
        )}
        {isFiltered(values) && (
          <button class="second" onClick={() => setFilters(NO_FILTERS)}>
            Clear filters
          </button>
        )}
      </FilterBar>
      {privateFilters(values).map((label) => (
        <p class="problem" key={label} role="alert">
          The filter “{label}” looks like a phone number and is not applied, because the address of a request is logged.
          Search for calls by number on the page CDRs.
        </p>
      ))}
      <Views view={view} counts={groups.data.value} session={session} />
      {view === 'messages' ? (
        <ParkedList session={session} filter={filter} groups={groups.data.value} selection={selection} onAsk={ask} />
      ) : (
        <Loaded resource={groups}>
          {(data) =>
            data.matching === 0 ? (
              <NothingParked />
            ) : view === 'causes' ? (
              <ParkedCauses groups={data.groups} />
            ) : (
              <ParkedQueues queues={data.queues} />
            )
          }
        </Loaded>
      )}
      {values['id'] !== undefined && asked === undefined && (
        <ParkedEntry key={values['id']} session={session} id={values['id']} onAsk={ask} />
      )}
      {asked?.does === 'replay' && (
        <ReplayDialog session={session} selected={asked.selected} onStart={() => selection.clear()} onClose={close} />
      )}
      {asked?.does === 'delete' && (
        <DeleteDialog session={session} selected={asked.selected} onStart={() => selection.clear()} onClose={close} />
      )}
    </>
  )
}

function Views({
  view: shown,
  counts,
  session,
}: {
  readonly view: View
  readonly counts: ParkedGroups | undefined
  readonly session: Session
}) {
  useKeys([
    { key: 'c', does: 'show causes', run: () => setFilters({ view: 'causes' }) },
    { key: 'q', does: 'show queues', run: () => setFilters({ view: 'queues' }) },
    { key: 'm', does: 'show messages', run: () => setFilters({ view: 'messages' }) },
  ])
  const numbers: Readonly<Record<View, string>> = {
    causes: counts === undefined ? '' : formatCount(counts.groups.length),
    queues: counts === undefined ? '' : formatCount(counts.queues.length),
    messages: counts === undefined ? '' : `${formatCount(counts.matching)}${counts.complete ? '' : '+'}`,
  }
  const titles: Readonly<Record<View, string>> = { causes: 'Causes', queues: 'Queues', messages: 'Messages' }
  return (
    <div class="actions">
      <div class="views" role="group" aria-label="Show">
        {VIEWS.map((view) => (
          <button
            key={view}
            class="second"
            data-view={view}
            aria-pressed={view === shown}
            onClick={() => setFilters({ view })}
          >
            {titles[view]} <small>{numbers[view]}</small>
          </button>
        ))}
      </div>
      {counts?.complete === false && (
        <span class="hint">Only the newest {formatNumberOf(20_000, 'message')} are counted.</span>
      )}
      <span class="grow" />
      {mayOperate.value && session.config.dead_letters && <Drain session={session} />}
      {session.config.role === 'operate' && !session.config.replays && (
        <span class="hint">This API cannot replay: createApi has no option replay.</span>
      )}
    </div>
  )
}

function Drain({ session }: { readonly session: Session }) {
  const isBusy = useSignal(false)
  const drain = () => {
    isBusy.value = true
    session.client
      .drain()
      .then(
        () => say('The dead-letter queues are being emptied. Their messages appear here within a few seconds.'),
        sayProblem,
      )
      .finally(() => void (isBusy.value = false))
  }
  return (
    <button
      class="second"
      disabled={isBusy.value}
      title="Messages that SQS gave up itself are fetched every five minutes. This fetches them now."
      onClick={drain}
    >
      Fetch dead letters
    </button>
  )
}
