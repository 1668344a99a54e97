import type { BinPage, BinRecord, ParkedDetail, ParkedPage, ParkedRecord } from '../../answers/index.ts'
import { parseDocument, parseEntries, SEPARATOR } from '../document.ts'
import type { ParkedQuery, StoredParked } from '../effects/park-effects.ts'
import {
  formatCursor,
  keptSince,
  type PageRequest,
  type Place,
  readByTime,
  type ReadOptions,
  readPage,
  readParts,
  toPlace,
} from './list-pages.ts'

export type ParkedFilter = ParkedQuery & PageRequest

/** Reads a page of the entries that functions and relays have parked, newest first. Handled and dropped entries are not among them. */
export async function readParked(options: ReadOptions, filter: ParkedFilter = {}): Promise<ParkedPage> {
  const { upstash, prefix } = options
  const { cursor, limit } = filter
  const [key, since] = [`${prefix}parked`, keptSince(options, 'parked')]
  const places = readByTime(upstash, { key, ...rangeOf(options, filter), behind: toPlace(cursor), limit })
  const page = await readPage<ParkedRecord>(places, {
    limit,
    readRecords: (found) => readRecords(options, found),
    fits: (record) => fits(record, filter),
  })
  return { ...page, ...(await countParked(options, since)) }
}

type ParkedList = 'parked' | 'parked_of_relay'

export const countOf = ({ prefix }: ReadOptions, name: ParkedList, fromMs: number, toMs: number | '+inf') => [
  'ZCOUNT',
  prefix + name,
  String(fromMs),
  String(toMs),
]

async function countParked(options: ReadOptions, fromMs: number) {
  const [all, relay] = await options.upstash.readAll([
    countOf(options, 'parked', fromMs, '+inf'),
    countOf(options, 'parked_of_relay', fromMs, '+inf'),
  ])
  return { relay: { total: Number(relay) }, functions: { total: Number(all) - Number(relay) } }
}

/**
 * Finds the ids of entries that match, oldest first, after a place ('' is the beginning). Also returns the place from which to continue;
 * null at the end.
 */
export async function findParked(
  options: ReadOptions,
  filter: ParkedQuery,
  place: string,
): Promise<{ readonly ids: string[]; readonly place: string | null }> {
  const limit = 500
  const range = { key: `${options.prefix}parked`, ...rangeOf(options, filter), limit, isOldestFirst: true }
  const found: Place[] = []
  for await (const one of readByTime(options.upstash, { ...range, behind: toPlace(place || undefined) })) {
    if (found.push(one) === limit) break
  }
  const records = found.length === 0 ? [] : await readRecords(options, found)
  const last = found.at(-1)
  return {
    ids: records.flatMap((record) => (record !== undefined && fits(record, filter) ? [record.id] : [])),
    place: found.length < limit || last === undefined ? null : formatCursor([last.ms, last.id]),
  }
}

/** Reads an entry without its content, which `readParkedMessages` returns. */
export async function readParkedEntry(options: ReadOptions, id: string): Promise<Omit<ParkedDetail, 'content'> | null> {
  const { upstash, prefix } = options
  const [text] = await upstash.readTexts([`${prefix}parked:${id}`])
  const record = toRecord(options, id, text)
  if (record === undefined) return null
  const fields = parseDocument(text)
  const attempts = parseEntries(fields.get('attempts')).map((entry) => {
    const [ms, attempt, status, reason = ''] = entry.split(SEPARATOR)
    return { at: new Date(Number(ms)).toISOString(), attempt: Number(attempt), status: toStatus(status), reason }
  })
  const [lane, since] = [`${prefix}parked_lane:${fields.get('lane')}`, String(keptSince(options, 'parked'))]
  const [ids, total] = fields.has('lane')
    ? await upstash.readAll([
        ['ZRANGEBYSCORE', lane, since, '+inf', 'LIMIT', '0', String(MAX_LANE_IDS)],
        ['ZCOUNT', lane, since, '+inf'],
      ])
    : [[id], 1]
  return { ...record, failed_attempts: attempts, lane: { ids: ids as string[], total: Number(total) } }
}

/** Maximum number of entries of a lane that an answer names. */
const MAX_LANE_IDS = 100

const toStatus = (text: string | undefined): number | null => (text === undefined || text === '' ? null : Number(text))

/**
 * Returns entries of functions in the form that their functions accept, in the given order. Leaves out entries that no longer exist, or
 * that do not belong to this replay.
 */
export async function readParkedMessages(
  options: ReadOptions,
  ids: readonly string[],
  job?: string,
): Promise<ParkedMessage[]> {
  const texts = await options.upstash.readTexts(ids.map((id) => `${options.prefix}parked:${id}`))
  const found = texts.flatMap((text, at) => {
    const fields = parseDocument(text)
    const [json, parts] = [fields.get('json'), Number(fields.get('parts'))]
    return json === undefined || Number.isNaN(parts) || (job !== undefined && fields.get('replay') !== job)
      ? []
      : [{ id: ids[at] as string, parts, stored: JSON.parse(json) as StoredParked }]
  })
  const bodies = await readParts(options, 'parked', found)
  return found.flatMap(({ id, stored }, at): ParkedMessage[] => {
    const { queue, group = id, encoding } = stored.message ?? {}
    const contentEncoding = encoding === undefined ? {} : { contentEncoding: encoding }
    const to = { id, route: stored.route, ...(queue === undefined ? {} : { queue }), messageGroupId: group }
    const body = bodies[at]
    return typeof body !== 'string' ? [] : [{ ...to, body, ...contentEncoding }]
  })
}

export const rangeOf = (options: ReadOptions, { sinceMs, untilMs }: ParkedQuery) => ({
  fromMs: Math.max(sinceMs ?? 0, keptSince(options, 'parked')),
  // Entries of the same millisecond have a fraction that keeps their order.
  toMs: untilMs === undefined ? undefined : untilMs + 4_095 / 4_096,
})

export function fits(record: ParkedRecord, query: ParkedQuery): boolean {
  const { from, source, route, reason, cause, status, reference, notification } = query
  return (
    (reference === undefined || record.subject === reference) &&
    (notification === undefined || record.notification_ids.includes(notification)) &&
    (from === undefined || record.from === from) &&
    (source === undefined || record.source === source) &&
    (route === undefined || record.route === route) &&
    (status === undefined || record.status === status) &&
    (cause === undefined || toCause(record.reason) === cause) &&
    (reason === undefined || record.reason.toLowerCase().includes(reason.toLowerCase()))
  )
}

/** Returns the cause of a reason: the reason without the parts that differ between notifications. */
export function toCause(reason: string): string {
  const [, status = '', words = ''] = /^(\d{3}: )?(.*)$/s.exec(reason) ?? []
  const general = words
    .replace(/"[^"]*"|'[^']*'/g, '…')
    .replace(/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, '#')
    .replace(/\d[\d.,:]*/g, '#')
  return status + general
}

export async function readRecords(
  options: ReadOptions,
  places: readonly Place[],
): Promise<(ParkedRecord | undefined)[]> {
  const texts = await options.upstash.readTexts(places.map(({ id }) => `${options.prefix}parked:${id}`))
  return texts.map((text, at) => toRecord(options, places[at]?.id ?? '', text))
}

function toRecord({ expiries }: ReadOptions, id: string, text: unknown): ParkedRecord | undefined {
  const fields = parseDocument(text)
  const json = fields.get('json')
  // A handled or dropped entry leaves a mark without a record, and an entry in the bin is no longer parked.
  if (json === undefined || fields.has('place')) return undefined
  return {
    id,
    ...toOwn(fields, json),
    expires_at: later((JSON.parse(json) as StoredParked).parked_at, expiries.parked),
  }
}

const later = (time: string, seconds: number): string => new Date(Date.parse(time) + seconds * 1000).toISOString()

function toOwn(fields: ReadonlyMap<string, string>, json: string) {
  const { message: _, ...record } = JSON.parse(json) as StoredParked
  return {
    ...record,
    // Older entries do not have this field.
    stale_at: record.stale_at ?? null,
    replay: fields.get('replay') ?? null,
    replays: Number(fields.get('replays') ?? 0),
  }
}

/** Returns whether each of these entries is parked, in the bin, or neither. */
export async function readPlacesOf(
  { upstash, prefix }: ReadOptions,
  ids: readonly string[],
): Promise<('parked' | 'bin' | null)[]> {
  const texts = await upstash.readTexts(ids.map((id) => `${prefix}parked:${id}`))
  return texts.map((text) => {
    const fields = parseDocument(text)
    return fields.has('json') ? (fields.has('place') ? 'bin' : 'parked') : null
  })
}

/** Reads a page of deleted entries, the latest first. */
export async function readBin(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<BinPage> {
  const { upstash, prefix, expiries } = options
  const places = readByTime(upstash, {
    key: `${prefix}bin`,
    fromMs: keptSince(options, 'bin'),
    behind: toPlace(cursor),
    limit,
  })
  return readPage<BinRecord>(places, {
    limit,
    readRecords: async (found) => {
      const texts = await upstash.readTexts(found.map(({ id }) => `${prefix}parked:${id}`))
      return texts.map((text, at) => {
        const fields = parseDocument(text)
        const [json, deleted] = [fields.get('json'), fields.get('deleted')]
        if (json === undefined || deleted === undefined) return undefined
        const [ms, operator = ''] = deleted.split(SEPARATOR)
        const deletedAt = new Date(Number(ms)).toISOString()
        return {
          id: found[at]?.id ?? '',
          ...toOwn(fields, json),
          expires_at: later(deletedAt, expiries.bin),
          deleted_at: deletedAt,
          deleted_by: operator,
        }
      })
    },
  })
}

/** A parked entry or a CDR, in the form that its function accepts. */
export type ParkedMessage = {
  readonly id: string
  /** Such as `agents-call`. */
  readonly route: string
  /** The name of its queue, such as `enigma-agents-call.fifo`. Absent: it arrived by HTTP. */
  readonly queue?: string
  readonly body: string
  readonly contentEncoding?: string
  /** The lane that keeps its order. */
  readonly messageGroupId: string
}
