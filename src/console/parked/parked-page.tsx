import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { ParkedGroups } from '../../client/index.ts'
import { formatCount, formatNumberOf } from '../format.ts'
import { useKeys } from '../focus.tsx'
import { FilterBar, filters, setFilters } from '../location.tsx'
import { ReplayDialog } from '../replays/replay-dialogs.tsx'
import { Loaded, useResource } from '../resource.tsx'
import { createSelection } from '../rows.tsx'
import { mayOperate, type Session } from '../session.ts'
import { showError, showStatus } from '../status-bar.tsx'
import { DeleteDialog } from './bin-page.tsx'
import { ParkedEntry } from './parked-entry-dialog.tsx'
import {
  ignoredFilters,
  isFiltered,
  isParkedChange,
  NO_FILTERS,
  PARKED_FIELDS,
  type Selected,
  toParkedFilter,
} from './parked-messages.ts'
import { NothingParked, ParkedCauses, ParkedList, ParkedQueues } from './parked-views.tsx'

/** An action that the user has to confirm. */
type Question = { readonly action: 'replay' | 'delete'; readonly selected: Selected }

const VIEWS = ['causes', 'queues', 'messages'] as const
type View = (typeof VIEWS)[number]

/** The selection is kept when the user opens another page and returns. */
const selection = createSelection()
let selectedFrom: readonly [Session, string] | undefined

export function Parked({ session }: { readonly session: Session }) {
  const values = filters.value
  const filter = toParkedFilter(values)
  const key = JSON.stringify(filter)
  const view = VIEWS.find((one) => one === values['view']) ?? 'causes'
  const question = useSignal<Question | undefined>(undefined)
  // This request reads all entries, so it runs less often than that of the list.
  const groups = useResource((signal) => session.client.parkedGroups({ ...filter, signal }), [session, key], {
    refreshOn: isParkedChange,
    minIntervalMs: 3_000,
  })
  useEffect(() => {
    if (selectedFrom?.[0] !== session || selectedFrom[1] !== key) selection.clear()
    selectedFrom = [session, key]
  }, [session, key])
  const ask = (action: Question['action'], selected: Selected) => {
    setFilters({ id: '' })
    question.value = { action, selected }
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
      {ignoredFilters(values).map((label) => (
        <p class="problem" key={label} role="alert">
          The filter “{label}” looks like a phone number and is not applied, because the URLs of requests are logged. To
          find calls by number, use the page CDRs.
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
      {asked?.action === 'replay' && (
        <ReplayDialog session={session} selected={asked.selected} onStart={() => selection.clear()} onClose={close} />
      )}
      {asked?.action === 'delete' && (
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
      {mayOperate.value && session.config.dead_letters && <DrainButton session={session} />}
      {session.config.role === 'operate' && !session.config.replays && (
        <span class="hint">This API cannot replay: createApi was called without the option replay.</span>
      )}
    </div>
  )
}

function DrainButton({ session }: { readonly session: Session }) {
  const isBusy = useSignal(false)
  const drain = () => {
    isBusy.value = true
    session.client
      .drain()
      .then(
        () => showStatus('The dead-letter queues are being drained. Their messages appear here within seconds.'),
        showError,
      )
      .finally(() => void (isBusy.value = false))
  }
  return (
    <button
      class="second"
      disabled={isBusy.value}
      title="Messages in dead-letter queues are parked every five minutes. This parks them now."
      onClick={drain}
    >
      Fetch dead letters
    </button>
  )
}
