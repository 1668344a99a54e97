import type { Change, GapRecord } from '../../client/index.ts'
import type { Missed } from '../live.ts'
import type { Filters, PageName } from '../location.tsx'

/* The entries of the stream: changes, and bars for gaps and missed changes. */

export type Entry =
  | { readonly kind: 'change'; readonly id: string; readonly at: string; readonly change: Change }
  | {
      readonly kind: 'gap'
      readonly id: string
      readonly at: string
      readonly cause: string | null
      readonly source: string | null
      /** Undefined until the gap has been read from the API. */
      readonly gap: GapRecord | undefined
    }
  | { readonly kind: 'missed'; readonly id: string; readonly at: string; readonly missed: Missed }

/** Changes that the stream keeps. */
const MAX_CHANGES = 2_000

const matches = (change: Change, { type, reference, campaign }: Filters): boolean =>
  (type === undefined || change.type === type || change.type.startsWith(`${type}/`)) &&
  (reference === undefined || change.ref === reference) &&
  (campaign === undefined || change.campaign_ref === campaign || (isOfCampaign(change) && change.ref === campaign))

const isOfCampaign = ({ type }: Change): boolean => type.startsWith('campaigns/')

/** Keeps the latest changes that match the filters, so that frequent changes do not displace rare ones that the user filters for. */
export function createBuffer() {
  let last = 0
  let kept: readonly Entry[] = []
  return {
    /** Returns the changes, newest first. */
    entries: () => kept,
    /** Adds changes, given oldest first. Returns how many of them match. */
    add: (changes: readonly Change[], filters: Filters): number => {
      const more = changes
        .filter((change) => change.type !== 'relay/gap' && matches(change, filters))
        .map((change): Entry => ({ kind: 'change', id: String(++last), at: change.at, change }))
      if (more.length > 0) kept = [...more.toReversed(), ...kept].slice(0, MAX_CHANGES)
      return more.length
    },
    clear: () => void (kept = []),
  }
}

export type Buffer = ReturnType<typeof createBuffer>

/** Converts gaps to bars: those that the API has listed, and those that are known only from a change so far. */
export function toGapBars(gaps: readonly GapRecord[], heard: readonly Change[]): readonly Entry[] {
  const listed = new Set(gaps.map((gap) => gap.notification_id))
  return [
    ...gaps.map((gap): Entry => {
      const { notification_id: id, to: at, cause, source } = gap
      return { kind: 'gap', id: `gap ${id}`, at, cause, source, gap }
    }),
    ...heard
      .filter(({ notification_id: id }) => id !== null && !listed.has(id))
      .map(({ notification_id: id, at, state, source, ref }): Entry => ({
        kind: 'gap',
        id: `gap ${id}`,
        at,
        cause: state,
        source: source ?? ref,
        gap: undefined,
      })),
  ]
}

export const toMissedBars = (missed: readonly Missed[]): readonly Entry[] =>
  missed.map((one) => ({ kind: 'missed', id: `missed ${one.from} ${one.to}`, at: one.to, missed: one }))

/** Inserts bars at their time. Both are given newest first. The order of changes is kept, because it is the order of commits. */
export function merge(changes: readonly Entry[], bars: readonly Entry[]): readonly Entry[] {
  if (bars.length === 0) return changes
  const merged: Entry[] = []
  const waiting = bars.toSorted((a, b) => (a.at < b.at ? 1 : -1))
  for (const change of changes) {
    while (waiting[0] !== undefined && waiting[0].at >= change.at) merged.push(...waiting.splice(0, 1))
    merged.push(change)
  }
  return [...merged, ...waiting]
}

/** Returns the page that shows the subject of a change, or undefined if there is none. */
export function destinationOf({
  type,
  ref,
  campaign_ref: campaign,
  state,
}: Change): { readonly page: PageName; readonly filters: Filters; readonly what: string } | undefined {
  if (type === 'campaigns/cdr')
    return {
      page: 'cdrs',
      filters: { campaign: campaign ?? ref, end_reason: state ?? '' },
      what: 'CDRs of the campaign',
    }
  if (type === 'parked' || type === 'relay/parked')
    return { page: 'parked', filters: { id: ref }, what: 'parked entry' }
  if (type.startsWith('relay/') || type.startsWith('dialers/')) return { page: 'health', filters: {}, what: 'Health' }
  if (ref === '') return undefined
  if (type.startsWith('agents/') || type === 'inbound/call')
    return { page: 'wall', filters: { open: ref }, what: 'agent' }
  if (type.startsWith('campaigns/')) return { page: 'wall', filters: { campaign: ref }, what: 'campaign' }
  return undefined
}
