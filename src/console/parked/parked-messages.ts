import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { allItems, ApiProblem, type Change, type Client, type ParkedFilter, type ParkedRecord, type ParkedSelection, type Replay, type ReplayPlan } from '../../client/index.ts'
import { type FilterField, type Filters, isPrivate } from '../location.tsx'
import type { Session } from '../session.ts'

/** The messages that somebody has selected, and what is done with them. */

type Entry = Pick<ParkedRecord, 'id' | 'from' | 'replay'>

/** Some entries, oldest first; or every one that matches. */
export type Selected = { readonly entries: readonly Entry[] } | { readonly filter: ParkedFilter }

/** What one request is about: entries of functions and of the relay take different ways. */
export type Part = {
  readonly from: Entry['from']
  readonly selection: ParkedSelection
  readonly plan: ReplayPlan
}

export type Planned = {
  /** Those that have something to be done. */
  readonly parts: readonly Part[]
  /** Of all parts. */
  readonly sum: ReplayPlan
}

/** Ids that one request takes. */
const MAX_IDS = 1_000

const FROM = ['functions', 'relay'] as const

/** What a replay of them would do. Entries that are parked later are in none of its parts. */
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
      // The API's clock, and the same moment for both.
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

/** Starts a replay for each part; together they send no more than `rate` in a second. */
export async function startReplays(client: Client, parts: readonly Part[], rate: number): Promise<readonly Replay[]> {
  const ofFunctions = parts.filter(({ from }) => from === 'functions').length
  const each = Math.max(1, Math.floor(rate / Math.max(1, ofFunctions)))
  const started: Replay[] = []
  for (const { selection } of parts)
    try {
      started.push(await client.startReplay({ ...selection, rate: each }))
    } catch (error) {
      if (started.length === 0 || !(error instanceof ApiProblem)) throw error
      const words = `${started.length} of ${parts.length} replays were started. ${error.detail}`
      throw new ApiProblem(error.status, error.code, words, { cause: error })
    }
  return started
}

/** The oldest of them that no replay is sending: the one to try first. */
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
  // The list has the newest first; an entry may stand a little behind its time in it.
  const until = new Date(Date.parse(first) + 1_000)
  let oldest = groups[0]?.example
  for await (const { id, replay } of allItems(client.parked, { ...filter, since: first, until }))
    if (replay === null) oldest = id
  return oldest
}

/** How many were moved to the bin, or were not; `asked`: how many the relay was asked to delete. */
export type Gone = { readonly moved: number; readonly skipped: number; readonly asked: number }

/** Deletes all of these parts. Those of the relay are gone for ever. */
export async function deleteParts(client: Client, parts: readonly Part[]): Promise<Gone> {
  const gone = { moved: 0, skipped: 0, asked: 0 }
  for (const { from, selection } of parts)
    for (let more = true; more;) {
      const answer = await client.deleteParked({ ...selection, ...(from === 'relay' ? { forever: true } : {}) })
      gone.moved += answer.moved
      gone.asked += answer.asked
      // Each request that goes on finds those again that the ones before it left.
      gone.skipped = answer.more ? gone.skipped : gone.skipped + answer.skipped
      more = answer.more && answer.moved > 0
    }
  return gone
}

/** Filters of parked messages: in the address, as the API takes them, and in words. */

/** Whether something was parked, handled, deleted or restored. */
export const isParked = ({ type }: Change): boolean => type === 'parked'

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

/** `''` for each filter, which takes it away. */
export const NO_FILTERS: Filters = Object.fromEntries(NAMES.map((name) => [name, '']))

/** Converts the local time of a field to UTC. A text that is no time is passed on, and the API names the error. */
function toMoment(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  const at = new Date(text)
  return Number.isNaN(at.getTime()) ? text : at.toISOString()
}

/** The labels of filters that are not applied, because a request has them in its address. */
export const privateFilters = (filters: Filters): readonly string[] =>
  PARKED_FIELDS.filter(({ name }) => isPrivate(name, filters[name] ?? '')).map(({ label }) => label)

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
    since: toMoment(since),
    until: toMoment(until),
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

export type SelectedDialogProps = {
  readonly session: Session
  readonly selected: Selected
  /** It is about to be done. */
  readonly onStart: () => void
  readonly onClose: () => void
}

/** What the replay would do, read once: the question does not change while somebody reads it. */
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
