import { fromBase64, toBase64, toText } from '../../protocol/index.ts'
import { isDigest, SEPARATOR, toName } from '../document.ts'
import { StoreError } from '../errors.ts'
import type { Expiries } from '../store.ts'
import type { Page } from '../types.ts'
import type { Upstash } from '../upstash.ts'

/** What every read needs. */
export type ReadOptions = {
  readonly upstash: Upstash
  readonly prefix: string
  readonly now: () => number
  readonly expiries: Expiries
  /** How long (s) a call is shown as current at most. */
  readonly callLimitSeconds: number
  /** Where a day begins: `Africa/Johannesburg`. */
  readonly timeZone: string
}

/** From when on (unix ms) something is kept. */
export const keptSince = ({ now, expiries }: ReadOptions, of: keyof Expiries): number => now() - expiries[of] * 1000

/** The JSON in a value, behind what orders or names it. */
export const afterSeparator = (value: string): string => value.slice(value.lastIndexOf(SEPARATOR) + 1)

/** A hash's reply, a flat list, as a map. */
export function toMap(reply: unknown): Map<string, string> {
  const flat = (reply ?? []) as string[]
  const map = new Map<string, string>()
  for (let at = 0; at + 1 < flat.length; at += 2) map.set(flat[at] as string, flat[at + 1] as string)
  return map
}

export const toTexts = (reply: unknown): string[] =>
  ((reply ?? []) as (string | null)[]).filter((text) => text !== null)

/** Entries that begin with their time (unix ms), the newest first. */
export function newestFirst(entries: readonly string[]): string[] {
  return entries.toSorted((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10))
}

export const DEFAULT_LIMIT = 100
const MAX_LIMIT = 500

export const clampLimit = (limit: number | undefined): number =>
  Math.min(MAX_LIMIT, Math.max(1, Math.floor(limit ?? DEFAULT_LIMIT)))

/** A cursor for the outside: opaque, but only text that tells where the page ended. */
export function formatCursor(parts: readonly (string | number)[]): string {
  return toBase64(JSON.stringify(parts)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

const NOT_OURS = 'the cursor was not returned by this API'

/** @throws StoreError `store.cursor.invalid` */
export function parseCursor(cursor: string, length: number): (string | number)[] {
  try {
    const parts: unknown = JSON.parse(toText(fromBase64(cursor.replaceAll('-', '+').replaceAll('_', '/'))) ?? '')
    const fits =
      Array.isArray(parts) &&
      parts.length === length &&
      parts.every((part) => typeof part === 'string' || typeof part === 'number')
    if (fits) return parts
  } catch {
    // Said below.
  }
  throw new StoreError('store.cursor.invalid', NOT_OURS)
}

/** A cursor of a list by time: unix ms and the id of the last one. @throws StoreError `store.cursor.invalid` */
export function parsePlace(cursor: string): { readonly ms: number; readonly id: string } {
  const [ms, id] = parseCursor(cursor, 2)
  if (typeof ms === 'number' && Number.isFinite(ms) && typeof id === 'string') return { ms, id }
  throw new StoreError('store.cursor.invalid', NOT_OURS)
}

/** A cursor of a list by name: the name of the last one. @throws StoreError `store.cursor.invalid` */
export const parseName = (cursor: string): string => String(parseCursor(cursor, 1)[0])

/** A reference, and what stands for it in keys. */
export type Named = { readonly ref: string; readonly name: string }

/** How often each word is there. Words of a dialler may be anything, and so the name of what every object has. */
export function countBy(words: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return Object.fromEntries(counts)
}

/** The references that these names stand for. */
export async function readReferences({ upstash, prefix }: ReadOptions, names: readonly string[]): Promise<Named[]> {
  const long = names.filter(isDigest)
  if (long.length === 0) return names.map((name) => ({ name, ref: name }))
  const references = await upstash.readTexts(long.map((name) => `${prefix}name:${name}`))
  const known = new Map(long.map((name, index) => [name, references[index]]))
  return names.map((name) => ({ name, ref: known.get(name) ?? name }))
}

/** A page of the references in a registry, in the order of their names. */
export async function readNames(
  options: ReadOptions,
  key: string,
  cursor: string | undefined,
  limit: number,
): Promise<Page<Named>> {
  const { upstash } = options
  const after = cursor === undefined ? '-' : `(${parseName(cursor)}`
  const [reply] = await upstash.readAll([['ZRANGEBYLEX', key, after, '+', 'LIMIT', '0', String(limit + 1)]])
  const names = toTexts(reply)
  const items = names.slice(0, limit)
  const next = names.length > limit ? formatCursor([items.at(-1) as string]) : null
  return { items: await readReferences(options, items), next }
}

/** A value that was written in parts. */
export type PartsOf = { readonly id: string; readonly parts: number }

/** Values that were written in parts, all in one round trip; null for one of which a part is gone. */
export async function readParts(
  { upstash, prefix }: ReadOptions,
  of: 'preview' | 'other' | 'parked',
  values: readonly PartsOf[],
): Promise<(string | null)[]> {
  const names = await Promise.all(values.map(({ id }) => toName(id)))
  const keys = values.flatMap(({ parts }, at) =>
    Array.from({ length: parts }, (_, index) => `${prefix}${of}_part:${names[at]}:${index}`),
  )
  const texts = await upstash.readTexts(keys)
  let at = 0
  return values.map(({ parts }) => {
    const own = texts.slice(at, (at += parts))
    return own.includes(null) ? null : own.join('')
  })
}
