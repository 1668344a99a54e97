import type { OtherPage, OtherRecord } from '../operator-types.ts'
import type { PageRequest } from '../types.ts'
import { readNewestFirst } from './newest-first.ts'
import { readParts } from './parts.ts'
import { afterSeparator, toMap, type ReadOptions } from './replies.ts'

type Stored = Omit<OtherRecord, 'text' | 'base64'> & { readonly parts: number; readonly form: 'text' | 'base64' }

/** The latest notifications without a route of their own, newest first, and how many there were of each type. */
export async function readOther(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<OtherPage> {
  const { upstash, prefix } = options
  const readRecords = (ids: readonly string[]) => readStored(options, ids)
  const page = await readNewestFirst<Stored>(upstash, {
    key: `${prefix}other`,
    cursor,
    limit,
    readRecords,
    fits: () => true,
  })
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

async function readStored({ upstash, prefix }: ReadOptions, ids: readonly string[]): Promise<(Stored | undefined)[]> {
  if (ids.length === 0) return []
  const [values] = await upstash.readAll([['MGET', ...ids.map((id) => `${prefix}other_record:${id}`)]])
  // Before the separator is how many parts there are.
  return (values as (string | null)[]).map((value) =>
    value === null
      ? undefined
      : { ...(JSON.parse(afterSeparator(value)) as Omit<Stored, 'parts'>), parts: Number.parseInt(value, 10) },
  )
}
