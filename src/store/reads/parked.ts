import type { ParkedFilter, ParkedPage, ParkedRecord } from '../operator-types.ts'
import { readNewestFirst } from './newest-first.ts'
import { afterSeparator, keptSince, type ReadOptions } from './replies.ts'

/** What the relay put aside and nobody has sent again or dropped, newest first. */
export async function readParked(options: ReadOptions, filter: ParkedFilter = {}): Promise<ParkedPage> {
  const { upstash, prefix } = options
  const { source, route, reason, sinceMs, cursor, limit } = filter
  const [key, since] = [`${prefix}parked`, keptSince(options, 'parked')]
  const page = await readNewestFirst<ParkedRecord>(upstash, {
    key,
    fromMs: Math.max(sinceMs ?? 0, since),
    cursor,
    limit,
    readRecords: (ids) => readRecords(options, ids),
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
  ids: readonly string[],
): Promise<(ParkedRecord | undefined)[]> {
  if (ids.length === 0) return []
  const [values] = await upstash.readAll([['MGET', ...ids.map((id) => `${prefix}parked:${id}`)]])
  return (values as (string | null)[]).map((value) => {
    // Before the separator is what orders it; nothing is behind it when it was taken from there in between.
    const json = afterSeparator(value ?? '')
    return json === '' ? undefined : (JSON.parse(json) as ParkedRecord)
  })
}
