import type { OtherPage, OtherRecord } from '../operator-types.ts'
import type { PageRequest } from '../types.ts'
import { readParts } from './parts.ts'
import { clampLimit, formatCursor, parseCursor, toMap, toTexts, type ReadOptions } from './replies.ts'

type Stored = Omit<OtherRecord, 'text' | 'base64'> & { readonly parts: number; readonly form: 'text' | 'base64' }

/** The latest notifications without a route of their own, newest first, and how many there were of each type. */
export async function readOther(options: ReadOptions, { cursor, limit }: PageRequest = {}): Promise<OtherPage> {
  const { upstash, prefix } = options
  const count = clampLimit(limit)
  const before = cursor === undefined ? undefined : parseCursor(cursor, 2)
  const [reply, counts] = await upstash.readAll([
    ['ZREVRANGEBYSCORE', `${prefix}other`, before === undefined ? '+inf' : String(before[0]), '-inf'],
    ['HGETALL', `${prefix}other_counts`],
  ])
  const stored = toTexts(reply).map((text) => JSON.parse(text) as Stored)
  const at = before === undefined ? 0 : stored.findIndex((record) => record.notification_id === before[1]) + 1
  const page = stored.slice(at, at + count)
  const bytes = await readParts(options, 'other', page.map(({ notification_id: id, parts }) => ({ id, parts })))
  const items = page.map(({ parts: _, form, ...record }, index) => {
    const data = bytes[index] ?? null
    return { ...record, text: form === 'text' ? data : null, base64: form === 'base64' ? data : null }
  })
  const last = page.at(-1)
  const next = stored.length > at + count && last !== undefined ? formatCursor([Date.parse(last.received_at), last.notification_id]) : null
  return { items, next, counts: Object.fromEntries([...toMap(counts)].map(([type, number]) => [type, Number(number)])) }
}
