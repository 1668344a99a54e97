import type { CdrDetail, CdrRecord, CdrsPage } from '../../answers/index.ts'
import { laneOf, type Notification, orderKey, packEvent } from '../../protocol/index.ts'
import { parseCdrEntry } from '../cdr-record.ts'
import { DAY_MS, parseEntries, QUARTER_MS, toName } from '../document.ts'
import { DIGITS, ID_LENGTH, toTerm } from '../effects/cdr-effects.ts'
import {
  formatCursor,
  keptSince,
  type PageRequest,
  type Place,
  type ReadOptions,
  readPage,
  toPlace,
} from './list-pages.ts'
import type { ParkedMessage } from './parked-reads.ts'

export type CdrQuery = {
  /** `dialed_at`, Unix ms, both inclusive. */
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly campaign?: string | undefined
  readonly agent?: string | undefined
  readonly contact?: string | undefined
  /** The subscriber's number or the dialled number. */
  readonly number?: string | undefined
  readonly endReason?: string | undefined
  /** Only CDRs written up to this time (Unix ms). */
  readonly keptUntilMs?: number | undefined
}

export type CdrFilter = PageRequest & CdrQuery

/** Reads a page of CDRs that match a filter, newest first by `dialed_at`. */
export async function readCdrs(options: ReadOptions, filter: CdrFilter = {}): Promise<CdrsPage> {
  const places = readPlaces(options, filter, toPlace(filter.cursor))
  const readRecords = async (found: readonly Place[]) => (await readListed(options, found)).map((one) => one?.record)
  return readPage<CdrRecord>(places, { limit: filter.limit, readRecords, fits: toPredicate(filter) })
}

/** Reads a CDR with its revisions. Returns null if it does not exist or has expired. */
export async function readCdr(options: ReadOptions, id: string): Promise<CdrDetail | null> {
  const [text] = await options.upstash.readTexts([`${options.prefix}cdr:${await toName(id)}`])
  const kept = toKept(options, text)
  if (kept === undefined) return null
  const [{ record, payload }, ...revisions] = kept
  return {
    id,
    ...record,
    revised: revisions.length > 0,
    revisions: revisions.map((revision) => ({ id, ...revision.record })),
    payload: { ...payload },
  }
}

/** Parses a CDR and its revisions. Returns undefined if it has expired. */
function toKept(options: ReadOptions, text: unknown) {
  const [first, ...revisions] = parseEntries(text)
  if (first === undefined) return undefined
  const kept = parseCdrEntry(first)
  if (kept.keptMs <= keptSince(options, 'cdr')) return undefined
  const others = revisions.map(parseCdrEntry).toSorted((a, b) => b.event.time.localeCompare(a.event.time))
  return [kept, ...others] as const
}

/** Reads the records at these places, each with its event and the time at which it was written. */
async function readListed(options: ReadOptions, places: readonly Place[]) {
  const texts = await options.upstash.readTexts(places.map(({ id }) => `${options.prefix}cdr:${id}`))
  return places.map(({ id, ms }, index) => {
    const kept = toKept(options, texts[index])
    if (kept === undefined) return undefined
    const [{ record, event, keptMs }, ...revisions] = kept
    // A revision may be listed elsewhere. A CDR from the future, due to a wrong clock, is listed under the time at which it was written.
    const listedMs = Date.parse(record.dialed_at)
    if (listedMs !== ms && listedMs < ms + DAY_MS / 2) return undefined
    return { ms, event, keptMs, record: { id, ...record, revised: revisions.length > 0 } }
  })
}

/** CDRs that a replay finds in one step. CDRs of the same moment stay together; one step takes at most MAX_CDRS_PER_STEP of them. */
const CDRS_PER_STEP = 500
const MAX_CDRS_PER_STEP = 5_000

/**
 * Finds the ids of the next CDRs that match, oldest first, after a place; '' is the beginning, null the end. A dialler reports the second
 * in which it dialled, so CDRs of one second are returned in order of arrival.
 */
export async function findCdrs(
  options: ReadOptions,
  query: CdrQuery,
  place: string,
): Promise<{ readonly ids: string[]; readonly place: string | null }> {
  const found: Place[] = []
  let next: string | null = null
  for await (const one of readPlaces(options, query, toPlace(place || undefined), true)) {
    const last = found.at(-1)
    if (last !== undefined && found.length >= (one.ms === last.ms ? MAX_CDRS_PER_STEP : CDRS_PER_STEP)) {
      next = formatCursor([last.ms, last.id])
      break
    }
    found.push(one)
  }
  const [listed, fits] = [await readListed(options, found), toPredicate(query)]
  const { keptUntilMs = Infinity } = query
  const ids = listed
    .filter((one) => one !== undefined && one.keptMs <= keptUntilMs && fits(one.record))
    .toSorted((a, b) => Number(a?.ms) - Number(b?.ms) || (orderOf(a) < orderOf(b) ? -1 : 1))
    .flatMap((one) => one?.record.id ?? [])
  return { ids, place: next }
}

/** Maximum number of CDRs that a plan examines. */
const MAX_SCANNED = 20_000

/** Counts the CDRs that match, as `findCdrs` finds them. `complete` is false if there are more than it has examined. */
export async function countCdrs(
  options: ReadOptions,
  query: CdrQuery,
  maxScanned = MAX_SCANNED,
): Promise<{ readonly total: number; readonly complete: boolean }> {
  const { keptUntilMs = Infinity } = query
  const fits = toPredicate(query)
  let [total, scanned, waiting] = [0, 0, [] as Place[]]
  const settle = async () => {
    const listed = await readListed(options, waiting)
    waiting = []
    total += listed.filter((one) => one !== undefined && one.keptMs <= keptUntilMs && fits(one.record)).length
  }
  for await (const place of readPlaces(options, query, undefined, true)) {
    if (scanned++ === maxScanned) {
      await settle()
      return { total, complete: false }
    }
    if (waiting.push(place) === CDRS_PER_STEP) await settle()
  }
  await settle()
  return { total, complete: true }
}

/** Returns a text that orders events by time of receipt, then by sequence. */
const orderOf = (listed: { readonly event: Notification } | undefined): string =>
  listed === undefined ? '' : `${listed.event.time} ${listed.event.sequence}`

/** Returns CDRs as the relay sent them, with their bytes and ids, in lanes of their route. Leaves out expired CDRs. */
export async function readCdrMessages(
  options: ReadOptions,
  ids: readonly string[],
  { lanes, ...to }: { readonly route: string; readonly queue?: string; readonly lanes: number },
): Promise<ParkedMessage[]> {
  const texts = await options.upstash.readTexts(ids.map((id) => `${options.prefix}cdr:${id}`))
  const messages = texts.map(async (text, at): Promise<ParkedMessage[]> => {
    const kept = toKept(options, text)
    if (kept === undefined) return []
    const [{ event, payload }] = kept
    const group = String(laneOf(orderKey(event.subject, payload), lanes))
    return [{ id: ids[at] as string, ...to, ...(await packEvent(event)), messageGroupId: group }]
  })
  return (await Promise.all(messages)).flat()
}

/** Includes the filters that selected the index entries, since a revision may have another campaign than the record had. */
function toPredicate({ campaign, agent, contact, number, endReason }: CdrQuery): (record: CdrRecord) => boolean {
  return (record) =>
    (campaign === undefined || record.campaign_ref === campaign) &&
    (agent === undefined || record.extension === agent) &&
    (contact === undefined || record.contact_ref === contact) &&
    (number === undefined || record.number === number || record.dial_number === number) &&
    (endReason === undefined || record.end_reason === endReason)
}

/** Quarters of an hour whose indexes are read in one request. */
const QUARTERS_PER_READ = 48

/**
 * Yields the places of CDRs, newest or oldest first, after a place if one is given. Uses the most selective term of the filter, otherwise
 * the time. It may yield a CDR whose latest revision no longer matches; the filter is applied to the records afterwards.
 */
async function* readPlaces(
  options: ReadOptions,
  filter: CdrQuery,
  behind: Place | undefined,
  isOldestFirst = false,
): AsyncGenerator<Place> {
  const { upstash, prefix, now } = options
  const { fields, term } = await fieldsOf(filter)
  const fromMs = Math.max(filter.fromMs ?? -Infinity, (isOldestFirst ? behind?.ms : undefined) ?? -Infinity)
  const toMs = Math.min(filter.toMs ?? Infinity, (isOldestFirst ? undefined : behind?.ms) ?? Infinity)
  const compare = (a: Place, b: Place) =>
    (a.ms - b.ms || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)) * (isOldestFirst ? 1 : -1)
  const [alive] = await upstash.readAll([['ZRANGEBYSCORE', `${prefix}quarters`, String(now()), '+inf']])
  const quarters = (alive as string[])
    .map(Number)
    .filter((quarter) => quarter * QUARTER_MS <= toMs && (quarter + 1) * QUARTER_MS > fromMs)
    .toSorted((a, b) => (isOldestFirst ? a - b : b - a))
  for (let from = 0; from < quarters.length;) {
    // The first request reads few, because the first quarter is often enough.
    const some = quarters.slice(from, from + (from === 0 ? 2 : QUARTERS_PER_READ))
    from += some.length
    const replies = await upstash.readAll(some.map((quarter) => ['HMGET', `${prefix}cdrs:${quarter}`, ...fields]))
    for (const [index, quarter] of some.entries()) {
      const places = (replies[index] as (string | null)[]).flatMap((text) => [
        ...parsePlaces(text ?? '', quarter, term),
      ])
      const wanted = places.filter(
        (place) => place.ms >= fromMs && place.ms <= toMs && (behind === undefined || compare(place, behind) > 0),
      )
      const once = new Map(wanted.map((place) => [place.id, place]))
      yield* [...once.values()].toSorted(compare)
    }
  }
}

async function fieldsOf({ number, contact, agent, campaign }: CdrQuery) {
  const [own] = [['number', number] as const, ['contact', contact] as const, ['agent', agent] as const].filter(
    ([, value]) => value !== undefined,
  )
  if (own !== undefined) {
    const term = toTerm(own[0], own[1] as string)
    return { fields: fieldsOfTerm(term), term }
  }
  return { fields: fieldsOfTime(campaign === undefined ? undefined : await toName(campaign)), term: undefined }
}

/** Returns the fields of an index that may hold entries of a term, the coarsest first. */
export const fieldsOfTerm = (term: string): string[] => [1, 2, 3].map((length) => `h${term.slice(0, length)}`)

/** Returns the fields of an index that hold all its entries, or all entries of a campaign (by its name in keys). */
export function fieldsOfTime(campaign?: string): string[] {
  const [kind, of] = campaign === undefined ? ['t', ''] : ['c', `|${campaign}`]
  const minutes = Array.from({ length: QUARTER_MS / 60_000 }, (_, minute) => `${kind}${minute}`)
  const slots = minutes.flatMap((minute) => Array.from({ length: 30 }, (_, slot) => `${minute}:${slot}${of}`))
  return [kind + of, ...minutes.map((minute) => minute + of), ...slots]
}

const OFFSET_LENGTH = 4

const CHECK_LENGTH = 2

/** Parses a field of an index and yields the places of CDRs by `dialed_at`; only CDRs of the term, if one is given. */
export function* parsePlaces(text: string, quarter: number, term?: string): Generator<Place> {
  const check = term?.slice(-CHECK_LENGTH)
  const length = ID_LENGTH + OFFSET_LENGTH + (check === undefined ? 0 : CHECK_LENGTH)
  for (let at = 0; at + length <= text.length; at += length) {
    const id = text.slice(at, at + ID_LENGTH)
    if (check !== undefined && text.slice(at + ID_LENGTH + OFFSET_LENGTH, at + length) !== check) continue
    let offset = 0
    for (let digit = 0; digit < OFFSET_LENGTH; digit++)
      offset = offset * 64 + DIGITS.indexOf(text[at + ID_LENGTH + digit] as string)
    yield { ms: quarter * QUARTER_MS + offset, id }
  }
}
