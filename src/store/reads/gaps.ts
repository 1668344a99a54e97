import type { GapFilter, GapRecord } from '../operator-types.ts'
import type { Page } from '../types.ts'
import { readNewestFirst } from './newest-first.ts'
import type { ReadOptions } from './replies.ts'

/** The spans in which PubSub was not heard, newest first. */
export async function readGaps(
  { upstash, prefix }: ReadOptions,
  { source, sinceMs, cursor, limit }: GapFilter = {},
): Promise<Page<GapRecord>> {
  return readNewestFirst<GapRecord>(upstash, {
    key: source === undefined ? `${prefix}gaps` : `${prefix}gaps_of:${source}`,
    fromMs: sinceMs,
    cursor,
    limit,
    readRecords: async (ids) => {
      if (ids.length === 0) return []
      const [values] = await upstash.readAll([['MGET', ...ids.map((id) => `${prefix}gap:${id}`)]])
      return (values as (string | null)[]).map((json) => (json === null ? undefined : (JSON.parse(json) as GapRecord)))
    },
    fits: () => true,
  })
}
