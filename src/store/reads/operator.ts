import type { GapRecord, GapsPage, OtherPage, OtherRecord, RelayRecord } from '../../answers/index.ts'
import type { GapFilter, PageRequest } from '../types.ts'
import { type Place, readByTime, readPage, toPlace } from './newest-first.ts'
import { readParts, afterSeparator, keptSince, type ReadOptions, toMap } from './replies.ts'
import { parseDocument, toName } from '../document.ts'

type Stored = Omit<OtherRecord, 'text' | 'base64'> & { readonly parts: number; readonly form: 'text' | 'base64' }

/** The latest notifications without a route of their own, newest first, and how many there were of each type. */
export async function readOther(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<OtherPage> {
  const { upstash, prefix } = options
  const readRecords = (found: readonly Place[]) => readStored(options, found)
  const places = readByTime(upstash, { key: `${prefix}other`, behind: toPlace(cursor), limit })
  const page = await readPage<Stored>(places, { limit, readRecords })
  const [counts] = await upstash.readAll([['HGETALL', `${prefix}other_counts`]])
  const bytes = await readParts(
    options,
    'other',
    page.items.map(({ notification_id: id, parts }) => ({ id, parts })),
  )
  const items = page.items.map(({ parts: _, form, ...record }, index) => {
    const data = bytes[index] ?? null
    return { ...record, text: form === 'text' ? data : null, base64: form === 'base64' ? data : null }
  })
  return {
    items,
    next: page.next,
    counts: Object.fromEntries([...toMap(counts)].map(([type, number]) => [type, Number(number)])),
  }
}

async function readStored({ upstash, prefix }: ReadOptions, places: readonly Place[]): Promise<(Stored | undefined)[]> {
  const values = await upstash.readTexts(places.map(({ id }) => `${prefix}other_record:${id}`))
  // Before the separator is how many parts there are.
  return values.map((value) =>
    value === null
      ? undefined
      : { ...(JSON.parse(afterSeparator(value)) as Omit<Stored, 'parts'>), parts: Number.parseInt(value, 10) },
  )
}

/** The spans in which PubSub was not heard, newest first. */
export async function readGaps(
  options: ReadOptions,
  { source, sinceMs, cursor, limit }: GapFilter = {},
): Promise<GapsPage> {
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
      const values = await upstash.readTexts(found.map(({ id }) => `${prefix}gap:${id}`))
      return values.map((json) => (json === null ? undefined : (JSON.parse(json) as GapRecord)))
    },
  })
}

/** The relays that were ready within the last days, by their ids. There are few. */
export async function readRelays({ upstash, prefix }: ReadOptions): Promise<RelayRecord[]> {
  const [text] = await upstash.readTexts([`${prefix}relays`])
  const records = [...parseDocument(text).values()].map(
    // One of before relays said so names no lists.
    (value): RelayRecord => ({ lists: [], ...(JSON.parse(afterSeparator(value)) as Omit<RelayRecord, 'lists'>) }),
  )
  return records.toSorted((a, b) => (a.relay < b.relay ? -1 : 1))
}
