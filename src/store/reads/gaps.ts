import type { GapFilter, GapRecord } from '../operator-types.ts'
import type { Page } from '../types.ts'
import { toName } from '../names.ts'
import { readByTime, readPage, toPlace } from './newest-first.ts'
import { keptSince, type ReadOptions } from './replies.ts'

/** The spans in which PubSub was not heard, newest first. */
export async function readGaps(
  options: ReadOptions,
  { source, sinceMs, cursor, limit }: GapFilter = {},
): Promise<Page<GapRecord>> {
  const { upstash, prefix } = options
  const places = readByTime(upstash, {
    key: source === undefined ? `${prefix}gaps` : `${prefix}gaps_of:${await toName(source)}`,
    fromMs: Math.max(sinceMs ?? 0, keptSince(options, 'gap')),
    behind: toPlace(cursor),
    limit,
  })
  return readPage<GapRecord>(places, {
    limit,
    readRecords: async (found) => {
      const [values] = await upstash.readAll([['MGET', ...found.map(({ id }) => `${prefix}gap:${id}`)]])
      return (values as (string | null)[]).map((json) => (json === null ? undefined : (JSON.parse(json) as GapRecord)))
    },
    fits: () => true,
  })
}
