import { fromBase64, toBase64, toText } from '../../protocol/index.ts'
import { StoreError } from '../errors.ts'
import type { Page } from '../types.ts'
import type { Upstash } from '../upstash.ts'

/** What every read needs. */
export type ReadOptions = {
  readonly upstash: Upstash
  readonly prefix: string
  readonly now: () => number
  /** How long (s) CDRs are kept. */
  readonly cdrSeconds: number
}

/** Separates the parts of a value: a control character, which no JSON text holds unescaped. */
export const SEPARATOR = '\u001f'

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

export const DEFAULT_LIMIT = 100
const MAX_LIMIT = 500

export const clampLimit = (limit: number | undefined): number =>
  Math.min(MAX_LIMIT, Math.max(1, Math.floor(limit ?? DEFAULT_LIMIT)))

/** A cursor for the outside: opaque, but only text that tells where the page ended. */
export function formatCursor(parts: readonly (string | number)[]): string {
  return toBase64(JSON.stringify(parts)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

const NOT_OURS = 'the cursor is not one that this API gave'

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

/** A page of the names in a registry, in the order of their text. */
export async function readNames(
  { upstash }: ReadOptions,
  key: string,
  cursor: string | undefined,
  limit: number,
): Promise<Page<string>> {
  const after = cursor === undefined ? '-' : `(${String(parseCursor(cursor, 1)[0])}`
  const [reply] = await upstash.readAll([['ZRANGEBYLEX', key, after, '+', 'LIMIT', '0', String(limit + 1)]])
  const names = toTexts(reply)
  const items = names.slice(0, limit)
  return { items, next: names.length > limit ? formatCursor([items.at(-1) as string]) : null }
}
