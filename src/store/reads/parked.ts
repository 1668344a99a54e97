import { parseDocument, parseEntries, SEPARATOR } from '../document.ts'
import type { StoredParked } from '../effects/park.ts'
import type {
  ParkedDetail,
  ParkedFilter,
  ParkedMessage,
  ParkedPage,
  ParkedQuery,
  ParkedRecord,
} from '../operator-types.ts'
import { readByTime, readPage, toPlace, type Place } from './newest-first.ts'
import { readParts } from './parts.ts'
import { formatCursor, keptSince, type ReadOptions } from './replies.ts'

/** Parked entries of the relay and of functions that nobody has sent again or dropped, newest first. */
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
  const [all, relay] = await upstash.readAll([
    ['ZCOUNT', key, String(since), '+inf'],
    ['ZCOUNT', `${prefix}parked_of_relay`, String(since), '+inf'],
  ])
  return { ...page, totals: { relay: Number(relay), functions: Number(all) - Number(relay) } }
}

/** The ids of entries that fit, oldest first, behind a place (`''`: from the oldest on), and the place to go on from: null when there are no more. */
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

export async function readParkedEntry(options: ReadOptions, id: string): Promise<ParkedDetail | null> {
  const { upstash, prefix } = options
  const [texts] = await upstash.readAll([['MGET', `${prefix}parked:${id}`]])
  const [text] = texts as unknown[]
  const record = toRecord(id, text)
  if (record === undefined) return null
  const attempts = parseEntries(parseDocument(text).get('attempts')).map((entry) => {
    const [ms, attempt, status, reason = ''] = entry.split(SEPARATOR)
    return { at: new Date(Number(ms)).toISOString(), attempt: Number(attempt), status: toStatus(status), reason }
  })
  return { ...record, failed_attempts: attempts }
}

const toStatus = (text: string | undefined): number | null => (text === undefined || text === '' ? null : Number(text))

/** Entries of functions as SQS takes them again, in the given order; those that are gone, or that this replay has not, are left out. */
export async function readParkedMessages(
  options: ReadOptions,
  ids: readonly string[],
  job?: string,
): Promise<ParkedMessage[]> {
  if (ids.length === 0) return []
  const [texts] = await options.upstash.readAll([['MGET', ...ids.map((id) => `${options.prefix}parked:${id}`)]])
  const found = (texts as unknown[]).flatMap((text, at) => {
    const fields = parseDocument(text)
    const [json, parts] = [fields.get('json'), Number(fields.get('parts'))]
    return json === undefined || Number.isNaN(parts) || (job !== undefined && fields.get('replay') !== job)
      ? []
      : [{ id: ids[at] as string, parts, stored: JSON.parse(json) as StoredParked }]
  })
  const bodies = await readParts(options, 'parked', found)
  return found.flatMap(({ id, stored }, at): ParkedMessage[] => {
    const { queue = '', group = id, encoding } = stored.message ?? {}
    const contentEncoding = encoding === undefined ? {} : { contentEncoding: encoding }
    const body = bodies[at]
    return typeof body !== 'string' ? [] : [{ id, queue, body, ...contentEncoding, messageGroupId: group }]
  })
}

const rangeOf = (options: ReadOptions, { sinceMs, untilMs }: ParkedQuery) => ({
  fromMs: Math.max(sinceMs ?? 0, keptSince(options, 'parked')),
  // Entries of the same millisecond have a fraction that keeps their order.
  toMs: untilMs === undefined ? undefined : untilMs + 4_095 / 4_096,
})

function fits(record: ParkedRecord, { from, source, route, reason, status }: ParkedQuery): boolean {
  return (
    (from === undefined || record.from === from) &&
    (source === undefined || record.source === source) &&
    (route === undefined || record.route === route) &&
    (status === undefined || record.status === status) &&
    (reason === undefined || record.reason.toLowerCase().includes(reason.toLowerCase()))
  )
}

async function readRecords(
  { upstash, prefix }: ReadOptions,
  places: readonly Place[],
): Promise<(ParkedRecord | undefined)[]> {
  const [texts] = await upstash.readAll([['MGET', ...places.map(({ id }) => `${prefix}parked:${id}`)]])
  return (texts as unknown[]).map((text, at) => toRecord((places[at] as Place).id, text))
}

function toRecord(id: string, text: unknown): ParkedRecord | undefined {
  const fields = parseDocument(text)
  const json = fields.get('json')
  // One that was sent again or dropped leaves a mark without a record.
  if (json === undefined) return undefined
  const { message: _, ...record } = JSON.parse(json) as StoredParked
  return { id, ...record, replay: fields.get('replay') ?? null }
}
