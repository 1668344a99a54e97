import type { ParkedFilter, ParkedPage, ParkedRecord } from '../operator-types.ts'
import { readNewestFirst, readPage, toPlace, type Place } from './newest-first.ts'
import { afterSeparator, keptSince, type ReadOptions } from './replies.ts'

/** What the relay put aside and nobody has sent again or dropped, newest first. */
export async function readParked(options: ReadOptions, filter: ParkedFilter = {}): Promise<ParkedPage> {
  const { upstash, prefix } = options
  const { source, route, reason, sinceMs, cursor, limit } = filter
  const [key, since] = [`${prefix}parked`, keptSince(options, 'parked')]
  const fromMs = Math.max(sinceMs ?? 0, since)
  const places = readNewestFirst(upstash, { key, fromMs, behind: toPlace(cursor), limit })
  const page = await readPage<ParkedRecord>(places, {
    limit,
    readRecords: (found) => readRecords(options, found),
    fits: (record) =>
      (source === undefined || record.source === source) &&
      (route === undefined || record.route === route) &&
      (reason === undefined || record.reason.toLowerCase().includes(reason.toLowerCase())),
  })
  const [total] = await upstash.readAll([['ZCOUNT', key, String(since), '+inf']])
  return { ...page, total: Number(total) }
}

async function readRecords(
  { upstash, prefix }: ReadOptions,
  places: readonly Place[],
): Promise<(ParkedRecord | undefined)[]> {
  const [values] = await upstash.readAll([['MGET', ...places.map(({ id }) => `${prefix}parked:${id}`)]])
  return (values as (string | null)[]).map((value) => {
    // Before the separator is what orders it; nothing is behind it when it was taken from there in between.
    const json = afterSeparator(value ?? '')
    return json === '' ? undefined : (JSON.parse(json) as ParkedRecord)
  })
}
