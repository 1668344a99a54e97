import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import {
  allItems,
  ApiProblem,
  type Change,
  type Client,
  type ParkedFilter,
  type ParkedRecord,
  type ParkedSelection,
  type Replay,
  type ReplayPlan,
} from '../../client/index.ts'
import { type FilterField, type Filters, isPrivate, toUtc } from '../location.tsx'
import type { Session } from '../session.ts'

/* Which parked messages an action is about: their filters, the selection of the user, and the requests that replay or delete them. */

type Entry = Pick<ParkedRecord, 'id' | 'from' | 'replay'>

/** Selected entries, oldest first, or all entries that match a filter. */
export type Selected = { readonly entries: readonly Entry[] } | { readonly filter: ParkedFilter }

/** The entries of one request. Entries of functions and of relays need separate requests. */
export type Part = {
  readonly from: Entry['from']
  readonly selection: ParkedSelection
  readonly plan: ReplayPlan
}

export type Planned = {
  /** The parts with at least one message. */
  readonly parts: readonly Part[]
  /** The sum of the plans of all parts. */
  readonly sum: ReplayPlan
}

/** Ids in one request: the limit of the API. */
const MAX_IDS = 1_000

const FROM = ['functions', 'relay'] as const

/** Asks the API what a replay would send (a dry run). Entries that are parked later are not included. */
export async function planSelected(client: Client, selected: Selected, signal?: AbortSignal): Promise<Planned> {
  const parts: Part[] = []
  if ('entries' in selected)
    for (const from of FROM) {
      const ids = selected.entries.filter((entry) => entry.from === from).map(({ id }) => id)
      for (let at = 0; at < ids.length; at += MAX_IDS) {
        const selection = { ids: ids.slice(at, at + MAX_IDS) }
        parts.push({ from, selection, plan: await client.planReplay(selection, { signal }) })
      }
    }
  else {
    let { until } = selected.filter
    for (const from of selected.filter.from === undefined ? FROM : [selected.filter.from]) {
      const filter = { ...selected.filter, from, until }
      const plan = await client.planReplay({ filter }, { signal })
      // Both parts end at the same time by the API's clock.
      until = plan.until
      parts.push({ from, selection: { filter: { ...filter, until } }, plan })
    }
  }
  return { parts: parts.filter(({ plan }) => countOf(plan) > 0), sum: add(parts.map(({ plan }) => plan)) }
}

export const countOf = ({ total, relay }: ReplayPlan): number => total + relay

function add(plans: readonly ReplayPlan[]): ReplayPlan {
  const sum = { total: 0, relay: 0, stale: 0, outdated: 0, replayed_before: 0, skipped: 0 }
  const routes: Record<string, number> = {}
  for (const plan of plans) {
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += plan[name]
    for (const [route, count] of Object.entries(plan.routes)) routes[route] = (routes[route] ?? 0) + count
  }
  return { ...sum, routes, complete: plans.every(({ complete }) => complete) }
}

/** Starts a replay for each part. Together they send at most `rate` messages a second. */
export async function startReplays(client: Client, parts: readonly Part[], rate: number): Promise<readonly Replay[]> {
  const ofFunctions = parts.filter(({ from }) => from === 'functions').length
  const each = Math.max(1, Math.floor(rate / Math.max(1, ofFunctions)))
  const started: Replay[] = []
  for (const { selection } of parts)
    try {
      started.push(await client.startReplay({ ...selection, rate: each }))
    } catch (error) {
      if (started.length === 0 || !(error instanceof ApiProblem)) throw error
      const detail = `${started.length} of ${parts.length} replays were started. ${error.detail}`
      throw new ApiProblem(error.status, error.code, detail, { cause: error })
    }
  return started
}

/** Returns the id of the oldest entry that no replay is sending: the one to try first. */
export async function findOldest(
  client: Client,
  selected: Selected,
  parts: readonly Part[],
): Promise<string | undefined> {
  if ('entries' in selected) return (selected.entries.find(({ replay }) => replay === null) ?? selected.entries[0])?.id
  const [part] = parts
  if (part === undefined || !('filter' in part.selection)) return undefined
  const { filter } = part.selection
  const { groups } = await client.parkedGroups(filter)
  const [first] = groups.map((group) => group.first).toSorted((a, b) => Date.parse(a) - Date.parse(b))
  if (first === undefined) return undefined
  // The list is sorted from newest to oldest, but not exactly by time: search one second further.
  const until = new Date(Date.parse(first) + 1_000)
  let oldest = groups[0]?.example
  for await (const { id, replay } of allItems(client.parked, { ...filter, since: first, until }))
    if (replay === null) oldest = id
  return oldest
}

/** Messages that were moved to the bin, messages that were not, and messages that the relay was asked to delete. */
export type Deleted = { readonly moved: number; readonly skipped: number; readonly asked: number }

/** Deletes all parts. Messages of the relay are deleted permanently. */
export async function deleteParts(client: Client, parts: readonly Part[]): Promise<Deleted> {
  const gone = { moved: 0, skipped: 0, asked: 0 }
  for (const { from, selection } of parts)
    for (let more = true; more;) {
      const answer = await client.deleteParked({ ...selection, ...(from === 'relay' ? { forever: true } : {}) })
      gone.moved += answer.moved
      gone.asked += answer.asked
      // Every request counts the messages again that earlier ones skipped, so only the last count is valid.
      gone.skipped = answer.more ? gone.skipped : gone.skipped + answer.skipped
      more = answer.more && answer.moved > 0
    }
  return gone
}

/** Returns whether a message was parked, handled, deleted or restored. */
export const isParkedChange = ({ type }: Change): boolean => type === 'parked'

export const PARKED_FIELDS: readonly FilterField[] = [
  {
    name: 'from',
    label: 'Parked by',
    options: [
      { value: 'functions', label: 'functions' },
      { value: 'relay', label: 'relay' },
    ],
  },
  { name: 'route', label: 'Route', placeholder: 'campaigns-cdr' },
  { name: 'reason', label: 'Reason contains', placeholder: 'call_ref is missing' },
  { name: 'status', label: 'Status', placeholder: '422' },
  { name: 'reference', label: 'Reference', placeholder: '1002' },
  { name: 'notification', label: 'Notification id' },
  { name: 'since', label: 'Parked since', type: 'datetime-local' },
  { name: 'until', label: 'Parked until', type: 'datetime-local' },
]

const NAMES = ['cause', ...PARKED_FIELDS.map(({ name }) => name)]

export const isFiltered = (filters: Filters): boolean => NAMES.some((name) => (filters[name] ?? '') !== '')

/** The values that remove all filters. */
export const NO_FILTERS: Filters = Object.fromEntries(NAMES.map((name) => [name, '']))

/** Returns the labels of filters that are not applied, because they look like phone numbers and URLs are logged. */
export const ignoredFilters = (filters: Filters): readonly string[] =>
  PARKED_FIELDS.filter(({ name }) => isPrivate(name, filters[name] ?? '')).map(({ label }) => label)

/** Returns the filters in the form that the API takes. */
export function toParkedFilter(given: Filters): ParkedFilter {
  const filters: Filters = Object.fromEntries(Object.entries(given).filter(([name, value]) => !isPrivate(name, value)))
  const { from, route, reason, cause, status, reference, notification, since, until } = filters
  const all = {
    from: from as ParkedFilter['from'],
    route,
    reason,
    cause,
    status: status === undefined ? undefined : Number(status),
    reference,
    notification,
    since: toUtc(since),
    until: toUtc(until),
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

export type SelectedDialogProps = {
  readonly session: Session
  readonly selected: Selected
  /** Is called when the action begins. */
  readonly onStart: () => void
  readonly onClose: () => void
}

/** Plans a replay once, so that the figures do not change while the user reads the dialog. */
export function usePlan(client: Client, selected: Selected) {
  const planned = useSignal<Planned | undefined>(undefined)
  const problem = useSignal<ApiProblem | undefined>(undefined)
  useEffect(() => {
    const closed = new AbortController()
    planSelected(client, selected, closed.signal).then(
      (plan) => void (planned.value = plan),
      (error: ApiProblem) => {
        if (!closed.signal.aborted) problem.value = error
      },
    )
    return () => closed.abort()
  }, [])
  return { planned: planned.value, problem: problem.value }
}
