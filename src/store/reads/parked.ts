import { parseDocument, parseEntries, SEPARATOR } from '../document.ts'
import { FOUND_ALL, type StoredParked, type StoredReplay } from '../effects/park.ts'
import type { ParkedDetail, ParkedPage, ParkedRecord, Replay, ReplaysPage } from '../../answers/index.ts'
import { type Place, readByTime, readPage, toPlace } from './newest-first.ts'
import { readParts, formatCursor, keptSince, type ReadOptions } from './replies.ts'
import type { PageRequest, ParkedFilter, ParkedMessage, ParkedQuery } from '../types.ts'

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
  return { ...page, relay: { total: Number(relay) }, functions: { total: Number(all) - Number(relay) } }
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
  const [text] = await upstash.readTexts([`${prefix}parked:${id}`])
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
  const texts = await upstash.readTexts(places.map(({ id }) => `${prefix}parked:${id}`))
  return texts.map((text, at) => toRecord(places[at]?.id ?? '', text))
}

function toRecord(id: string, text: unknown): ParkedRecord | undefined {
  const fields = parseDocument(text)
  const json = fields.get('json')
  // One that was sent again or dropped leaves a mark without a record.
  if (json === undefined) return undefined
  const { message: _, ...record } = JSON.parse(json) as StoredParked
  return { id, ...record, replay: fields.get('replay') ?? null }
}

export async function readReplays(
  { upstash, prefix }: ReadOptions,
  { cursor, limit }: PageRequest = {},
): Promise<ReplaysPage> {
  return readPage<Replay>(readByTime(upstash, { key: `${prefix}replays`, behind: toPlace(cursor), limit }), {
    limit,
    readRecords: async (places) => {
      const texts = await upstash.readTexts(places.map(({ id }) => `${prefix}replay:${id}`))
      return texts.map((text, at) => toProgress(places[at]?.id ?? '', text)?.replay)
    },
  })
}

export async function readReplay({ upstash, prefix }: ReadOptions, id: string): Promise<ReplayProgress | null> {
  const [text] = await upstash.readTexts([`${prefix}replay:${id}`])
  return toProgress(id, text) ?? null
}

/** A filter as it was asked for. */
function toShown({ from: _, sinceMs, untilMs, ...filter }: ParkedQuery): Replay['filter'] {
  const toTime = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString())
  return { ...filter, since: toTime(sinceMs), until: toTime(untilMs) }
}

/** A replay with the state that its steps go on from. */
export type ReplayProgress = {
  readonly replay: Replay
  /** Which entries; null where their ids were given. */
  readonly filter: ParkedQuery | null
  /** Where the search for entries goes on; null when all are found. */
  readonly place: string | null
  /** The entries that are being sent, and in which round. */
  readonly sending: readonly string[]
  readonly round: string
  /** How often it went on, and when it last did (unix ms). */
  readonly steps: number
  readonly atMs: number
}

function toProgress(id: string, text: unknown): ReplayProgress | undefined {
  const fields = parseDocument(text)
  const json = fields.get('json')
  if (json === undefined) return undefined
  const count = (name: string) => Number(fields.get(name) ?? 0)
  const place = fields.get('place') ?? ''
  const [waiting, sent] = [count('selected') - count('taken'), count('sent')]
  const isDone = place === FOUND_ALL && waiting === 0 && sent === 0
  const { filter, ...stored } = JSON.parse(json) as StoredReplay
  const replay: Replay = {
    id,
    state: fields.has('stopped') ? 'stopped' : isDone ? 'done' : 'running',
    ...stored,
    filter: filter && toShown(filter),
    counts: {
      waiting,
      sent,
      handled: count('handled'),
      failed_again: count('failed_again'),
      skipped: count('skipped'),
    },
  }
  return {
    replay,
    filter,
    place: place === FOUND_ALL ? null : place,
    sending: parseEntries(fields.get('sending')),
    round: fields.get('round') ?? '',
    steps: count('steps'),
    atMs: count('at'),
  }
}
