import type { ParkedGroup, ParkedGroups, ParkedRecord, ReplayPlan } from '../../answers/index.ts'
import { parseDocument, SEPARATOR, toName } from '../document.ts'
import type { ParkedQuery } from '../effects/park-effects.ts'
import { type CdrQuery, countCdrs } from './cdr-reads.ts'
import { keptSince, type Place, readByTime, type ReadOptions } from './list-pages.ts'
import { countOf, fits, rangeOf, readRecords, toCause } from './parked-reads.ts'
import { readReplay } from './replay-reads.ts'

/** A parked entry of the relay, and the source whose list contains it. */
export type OfRelay = { readonly id: string; readonly source: string }

/* Reads over all parked entries: their causes, and what a replay of them would do. */

/** Maximum number of entries that groups and plans examine. */
const MAX_SCANNED = 20_000

/** Yields all entries that match, in portions. Returns false if it stopped because there are too many. */
export async function* scanParked(options: ReadOptions, query: ParkedQuery): AsyncGenerator<ParkedRecord[], boolean> {
  const range = { key: `${options.prefix}parked`, ...rangeOf(options, query), limit: 500 }
  let waiting: Place[] = []
  let scanned = 0
  const settle = async () => {
    const found = await readRecords(options, waiting)
    waiting = []
    return found.flatMap((record) => (record !== undefined && fits(record, query) ? [record] : []))
  }
  for await (const place of readByTime(options.upstash, range)) {
    if (scanned++ === MAX_SCANNED) {
      yield await settle()
      return false
    }
    if (waiting.push(place) === 500) yield await settle()
  }
  yield await settle()
  return true
}

/** Groups parked entries by cause and by route. */
export async function readParkedGroups(options: ReadOptions, query: ParkedQuery = {}): Promise<ParkedGroups> {
  const groups = new Map<string, ParkedGroup>()
  const queues = new Map<string, ParkedGroups['queues'][number]>()
  let matching = 0
  const scan = scanParked(options, query)
  for (;;) {
    const { value, done } = await scan.next()
    if (done === true) {
      const byCount = [...groups.values()].toSorted((a, b) => b.count - a.count || (a.last < b.last ? 1 : -1))
      return {
        groups: byCount.slice(0, MAX_GROUPS),
        queues: [...queues.values()].toSorted((a, b) => (a.route < b.route ? -1 : 1)),
        matching,
        complete: value,
      }
    }
    for (const { id, from, route, reason, status, parked_at: at, expires_at: expiry } of value) {
      matching++
      const cause = toCause(reason)
      const key = JSON.stringify([from, route, cause, status])
      const group = groups.get(key)
      // The newest entries come first.
      if (group === undefined)
        groups.set(key, { from, route, cause, status, count: 1, first: at, last: at, example: id })
      else groups.set(key, { ...group, count: group.count + 1, first: at < group.first ? at : group.first })
      const queue = queues.get(route) ?? { route, count: 0, oldest: at, next_expiry: expiry }
      queues.set(route, {
        route,
        count: queue.count + 1,
        oldest: at < queue.oldest ? at : queue.oldest,
        next_expiry: expiry < queue.next_expiry ? expiry : queue.next_expiry,
      })
    }
  }
}

const MAX_GROUPS = 200

/**
 * Finds the entries of the relay among these ids, or among the entries that match, oldest first. `complete` is false if there are more than
 * can be examined.
 */
export async function findOfRelay(
  options: ReadOptions,
  asked: { readonly ids: readonly string[] } | { readonly filter: ParkedQuery },
): Promise<{ readonly entries: readonly OfRelay[]; readonly complete: boolean }> {
  const toEntries = (records: readonly (ParkedRecord | undefined)[]): (OfRelay & { readonly at: string })[] =>
    records.flatMap((record) =>
      record?.from === 'relay' && record.source !== null
        ? [{ id: record.id, source: record.source, at: record.parked_at }]
        : [],
    )
  const byTime = (entries: ReturnType<typeof toEntries>) =>
    entries.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).map(({ id, source }) => ({ id, source }))
  if ('ids' in asked) {
    const places = [...new Set(asked.ids)].map((id) => ({ id, ms: 0 }))
    return { entries: byTime(toEntries(await readRecords(options, places))), complete: true }
  }
  const scan = scanParked(options, { ...asked.filter, from: 'relay' })
  for (const entries: ReturnType<typeof toEntries> = []; ;) {
    const { value, done } = await scan.next()
    if (done === true) return { entries: byTime(entries), complete: value }
    entries.push(...toEntries(value))
  }
}

/** The routes whose notifications are states, and the document that holds the current state. */
const STATES: ReadonlyMap<string, string> = new Map([
  ['agents-status', 'agent'],
  ['campaigns-status', 'campaign'],
  ['dialers-status', 'dialer'],
])

/** Plans a replay of these entries, of the entries that match, or of CDRs: a dry run. */
export async function planReplay(
  options: ReadOptions,
  asked:
    | { readonly ids: readonly string[] }
    | { readonly filter: ParkedQuery }
    | { readonly cdrs: CdrQuery & { readonly route: string } },
): Promise<ReplayPlan> {
  const routes = new Map<string, number>()
  const plan = { total: 0, relay: 0, stale: 0, outdated: 0, replayed_before: 0, skipped: 0 }
  if ('cdrs' in asked) {
    const { route, ...query } = asked.cdrs
    const { total, complete } = await countCdrs(options, query)
    return { ...plan, total, routes: total === 0 ? {} : { [route]: total }, complete }
  }
  const add = async (records: readonly (ParkedRecord | undefined)[]) => {
    const [sendable, running] = [records.filter((record) => record?.from === 'functions'), new Set<string>()]
    for (const job of new Set(sendable.flatMap((record) => record?.replay ?? [])))
      if ((await readReplay(options, job))?.replay.state === 'running') running.add(job)
    const taken = sendable.flatMap((record) =>
      record === undefined || (record.replay !== null && running.has(record.replay)) ? [] : [record],
    )
    const ofRelay = records.filter((record) => record?.from === 'relay').length
    plan.relay += ofRelay
    plan.skipped += records.length - taken.length - ofRelay
    plan.total += taken.length
    for (const { route, stale_at: staleAt, replays } of taken) {
      routes.set(route, (routes.get(route) ?? 0) + 1)
      if (staleAt !== null && Date.parse(staleAt) < options.now()) plan.stale++
      if (replays > 0) plan.replayed_before++
    }
    plan.outdated += await countOutdated(options, taken)
  }
  if ('ids' in asked) {
    await add(
      await readRecords(
        options,
        [...new Set(asked.ids)].map((id) => ({ id, ms: 0 })),
      ),
    )
    return { ...plan, routes: Object.fromEntries(routes), complete: true }
  }
  const scan = scanParked(options, { ...asked.filter, from: asked.filter.from ?? 'functions' })
  for (;;) {
    const { value, done } = await scan.next()
    if (done === true) return { ...plan, routes: Object.fromEntries(routes), complete: value }
    await add(value)
  }
}

/** Counts the entries whose state is older than the state in the read model. */
async function countOutdated({ upstash, prefix }: ReadOptions, records: readonly ParkedRecord[]): Promise<number> {
  const states = records.flatMap(({ route, subject, source, received_at: at }) => {
    const of = STATES.get(route)
    return of === undefined || subject === null || at === null ? [] : [{ of, subject, source, ms: Date.parse(at) }]
  })
  const keys = await Promise.all(states.map(async ({ of, subject }) => `${prefix}${of}:${await toName(subject)}`))
  const texts = await upstash.readTexts([...new Set(keys)])
  const byKey = new Map([...new Set(keys)].map((key, at) => [key, parseDocument(texts[at])]))
  return states.filter(({ of, source, ms }, at) => {
    const fields = byKey.get(keys[at] ?? '') ?? new Map<string, string>()
    const stamps =
      of === 'agent'
        ? [...fields].flatMap(([field, value]) => (field.startsWith('s:') ? [value.split(SEPARATOR)[2] ?? ''] : []))
        : [fields.get('stamp') ?? '']
    return stamps.some((stamp) => stamp.split('|')[0] === source && Number(stamp.split('|')[3]) > ms)
  }).length
}

/** Counts the parked entries of functions and relays, and the entries of functions that expire within `withinMs`. */
export async function readParkedCounts(
  options: ReadOptions,
  withinMs: number,
): Promise<{ readonly parked: number; readonly expiring: number }> {
  const since = keptSince(options, 'parked')
  // If entries are kept for a few days only, entries in the first half of that time do not count as expiring.
  const until = since + Math.min(withinMs, options.expiries.parked * 500)
  const [parked, all, relay] = await options.upstash.readAll([
    countOf(options, 'parked', since, '+inf'),
    countOf(options, 'parked', since, until),
    countOf(options, 'parked_of_relay', since, until),
  ])
  return { parked: Number(parked), expiring: Number(all) - Number(relay) }
}
