import { type Expiries, isDigest, SEPARATOR, toName } from '../document.ts'
import { fromBase64, toBase64, toText } from '../../protocol/index.ts'
import { StoreError } from '../store-errors.ts'
import type { Upstash } from '../upstash.ts'

/** A page of a list. `next` is an opaque cursor for the page behind it, or null at the end. */
export type Page<T> = { items: T[]; next: string | null }

export type PageRequest = {
  readonly cursor?: string | undefined
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
}

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

/** How many candidates are looked at for one page, in pages: a filter on what has no index may leave few of them. */
const SCAN_PAGES = 10

/** Where something is in a list by time. */
export type Place = {
  /** Unix ms. */
  readonly ms: number
  readonly id: string
}

export type PageOf<T> = {
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
  /** The records at these places; undefined where there is none any more. */
  readonly readRecords: (places: readonly Place[]) => Promise<(T | undefined)[]>
  /** Default: all do. */
  readonly fits?: (record: T) => boolean
}

/** The place behind which a page begins; undefined at the beginning. @throws StoreError `store.cursor.invalid` */
export const toPlace = (cursor: string | undefined): Place | undefined =>
  cursor === undefined ? undefined : parsePlace(cursor)

/**
 * A page of what fits, of places that come newest first. The cursor names the last place that was looked at, so that it holds while
 * new ones come in. @throws StoreError
 */
export async function readPage<T>(
  places: AsyncIterable<Place>,
  { limit: asked, readRecords, fits = () => true }: PageOf<T>,
): Promise<Page<T>> {
  const limit = clampLimit(asked)
  const items: T[] = []
  let waiting: Place[] = []
  /** Reads the records at the places that wait; returns the place at which the page is full. */
  const settle = async (): Promise<Place | undefined> => {
    const found = waiting
    waiting = []
    const records = found.length === 0 ? [] : await readRecords(found)
    return found.find((_, index) => {
      const record = records[index]
      return record !== undefined && fits(record) && items.push(record) === limit
    })
  }
  let scanned = 0
  for await (const place of places) {
    scanned++
    if (waiting.push(place) < limit) continue
    const end = (await settle()) ?? (scanned >= SCAN_PAGES * limit ? place : undefined)
    if (end !== undefined) return { items, next: formatCursor([end.ms, end.id]) }
  }
  const end = await settle()
  return { items, next: end === undefined ? null : formatCursor([end.ms, end.id]) }
}

export type Range = {
  /** A sorted set of ids by unix ms. */
  readonly key: string
  /** Unix ms, both included. */
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly behind?: Place | undefined
  /** Default: the latest first. */
  readonly isOldestFirst?: boolean
  /** How many are asked for at once. */
  readonly limit?: number | undefined
}

/**
 * The members of a sorted set, the latest first, or the oldest first. Those of the same moment are in the order of their ids, as Redis has
 * them.
 */
export async function* readByTime(upstash: Upstash, range: Range): AsyncGenerator<Place> {
  const { key, isOldestFirst = false } = range
  const limit = clampLimit(range.limit)
  const command = isOldestFirst ? 'ZRANGEBYSCORE' : 'ZREVRANGEBYSCORE'
  let [from, to] = [String(range.fromMs ?? '-inf'), String(range.toMs ?? '+inf')]
  let behind = range.behind
  for (let count = limit; ;) {
    if (behind !== undefined && isOldestFirst) from = String(behind.ms)
    if (behind !== undefined && !isOldestFirst) to = String(behind.ms)
    const ends = isOldestFirst ? [from, to] : [to, from]
    const [reply] = await upstash.readAll([[command, key, ...ends, 'WITHSCORES', 'LIMIT', '0', String(count)]])
    const entries = [...toMap(reply)].map(([id, ms]): Place => ({ id, ms: Number(ms) }))
    const last = behind
    const left = entries.filter(({ ms, id }) => last?.ms !== ms || (isOldestFirst ? id > last.id : id < last.id))
    yield* left
    if (entries.length < count) return
    behind = left.at(-1) ?? behind
    // More of one moment than were asked for: all that came before were returned already, so look further.
    count = left.length === 0 ? count * 2 : limit
  }
}
