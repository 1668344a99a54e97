import type { OtherPage, OtherRecord } from '../operator-types.ts'
import type { PageRequest } from '../types.ts'
import { readByTime, readPage, toPlace, type Place } from './newest-first.ts'
import { readParts } from './parts.ts'
import { afterSeparator, toMap, type ReadOptions } from './replies.ts'

type Stored = Omit<OtherRecord, 'text' | 'base64'> & { readonly parts: number; readonly form: 'text' | 'base64' }

/** The latest notifications without a route of their own, newest first, and how many there were of each type. */
export async function readOther(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<OtherPage> {
  const { upstash, prefix } = options
  const readRecords = (found: readonly Place[]) => readStored(options, found)
  const places = readByTime(upstash, { key: `${prefix}other`, behind: toPlace(cursor), limit })
  const page = await readPage<Stored>(places, { limit, readRecords, fits: () => true })
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
  const [values] = await upstash.readAll([['MGET', ...places.map(({ id }) => `${prefix}other_record:${id}`)]])
  // Before the separator is how many parts there are.
  return (values as (string | null)[]).map((value) =>
    value === null
      ? undefined
      : { ...(JSON.parse(afterSeparator(value)) as Omit<Stored, 'parts'>), parts: Number.parseInt(value, 10) },
  )
}
