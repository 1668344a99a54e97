import { fromBase64, toBase64, toText } from '../../protocol/index.ts'
import { type Expiries, isDigest, SEPARATOR, toName } from '../document.ts'
import { StoreError } from '../store-errors.ts'
import type { Upstash } from '../upstash.ts'

/** A page of a list. `next` is an opaque cursor for the next page, or null on the last page. */
export type Page<T> = { items: T[]; next: string | null }

export type PageRequest = {
  readonly cursor?: string | undefined
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
}

/** The options that every read needs. */
export type ReadOptions = {
  readonly upstash: Upstash
  readonly prefix: string
  readonly now: () => number
  readonly expiries: Expiries
  /** How long (s) a call is shown as current if nothing reports its end. */
  readonly callLimitSeconds: number
  /** The time zone in which a day begins, such as `Africa/Johannesburg`. */
  readonly timeZone: string
}

/** Returns the time (Unix ms) since when a part of the read model is kept. */
export const keptSince = ({ now, expiries }: ReadOptions, of: keyof Expiries): number => now() - expiries[of] * 1000

/** Returns the JSON at the end of a value, after the parts that order or name it. */
export const afterSeparator = (value: string): string => value.slice(value.lastIndexOf(SEPARATOR) + 1)

/** Converts the reply for a hash, a flat list, into a map. */
export function toMap(reply: unknown): Map<string, string> {
  const flat = (reply ?? []) as string[]
  const map = new Map<string, string>()
  for (let at = 0; at + 1 < flat.length; at += 2) map.set(flat[at] as string, flat[at + 1] as string)
  return map
}

export const toTexts = (reply: unknown): string[] =>
  ((reply ?? []) as (string | null)[]).filter((text) => text !== null)

/** Sorts entries that begin with their time (Unix ms), newest first. */
export function newestFirst(entries: readonly string[]): string[] {
  return entries.toSorted((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10))
}

export const DEFAULT_LIMIT = 100
const MAX_LIMIT = 500

export const clampLimit = (limit: number | undefined): number =>
  Math.min(MAX_LIMIT, Math.max(1, Math.floor(limit ?? DEFAULT_LIMIT)))

/** Formats a cursor for clients. It is opaque, but only says where the page ended. */
export function formatCursor(parts: readonly (string | number)[]): string {
  return toBase64(JSON.stringify(parts)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

const FOREIGN_CURSOR = 'the cursor was not returned by this API'

/** Parses a cursor. @throws StoreError `store.cursor.invalid` */
export function parseCursor(cursor: string, length: number): (string | number)[] {
  try {
    const parts: unknown = JSON.parse(toText(fromBase64(cursor.replaceAll('-', '+').replaceAll('_', '/'))) ?? '')
    const fits =
      Array.isArray(parts) &&
      parts.length === length &&
      parts.every((part) => typeof part === 'string' || typeof part === 'number')
    if (fits) return parts
  } catch {
    // An unreadable cursor is rejected below.
  }
  throw new StoreError('store.cursor.invalid', FOREIGN_CURSOR)
}

/** Parses the cursor of a list by time: Unix ms and id of the last item. @throws StoreError `store.cursor.invalid` */
export function parsePlace(cursor: string): { readonly ms: number; readonly id: string } {
  const [ms, id] = parseCursor(cursor, 2)
  if (typeof ms === 'number' && Number.isFinite(ms) && typeof id === 'string') return { ms, id }
  throw new StoreError('store.cursor.invalid', FOREIGN_CURSOR)
}

/** Parses the cursor of a list by name: the name of the last item. @throws StoreError `store.cursor.invalid` */
export const parseName = (cursor: string): string => String(parseCursor(cursor, 1)[0])

/** A reference, and the name that stands for it in keys. */
export type Named = { readonly ref: string; readonly name: string }

/** Counts how often each word occurs. It uses a map, because a dialler may send any word, including names that every object has. */
export function countBy(words: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return Object.fromEntries(counts)
}

/** Reads the references for which these names stand. */
export async function readReferences({ upstash, prefix }: ReadOptions, names: readonly string[]): Promise<Named[]> {
  const long = names.filter(isDigest)
  if (long.length === 0) return names.map((name) => ({ name, ref: name }))
  const references = await upstash.readTexts(long.map((name) => `${prefix}name:${name}`))
  const known = new Map(long.map((name, index) => [name, references[index]]))
  return names.map((name) => ({ name, ref: known.get(name) ?? name }))
}

/** Reads a page of the references in a registry, in the order of their names. */
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

/** A value that is stored in parts. */
export type PartsOf = { readonly id: string; readonly parts: number }

/** Reads values that are stored in parts, all in one round trip. A value of which a part is missing is null. */
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

/** How many pages of candidates are examined for one page: few of them may match a filter that has no index. */
const MAX_SCANNED_PAGES = 10

/** The place of an item in a list by time. */
export type Place = {
  /** Unix ms. */
  readonly ms: number
  readonly id: string
}

export type PageOf<T> = {
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
  /** Reads the records at these places. A record that no longer exists is undefined. */
  readonly readRecords: (places: readonly Place[]) => Promise<(T | undefined)[]>
  /** Whether a record matches. Default: all do. */
  readonly fits?: (record: T) => boolean
}

/** Returns the place after which a page begins; undefined at the beginning. @throws StoreError `store.cursor.invalid` */
export const toPlace = (cursor: string | undefined): Place | undefined =>
  cursor === undefined ? undefined : parsePlace(cursor)

/**
 * Reads a page of the records that match, from places that are sorted newest first. The cursor names the last place that was examined, so
 * it stays valid when new items arrive. @throws StoreError
 */
export async function readPage<T>(
  places: AsyncIterable<Place>,
  { limit: asked, readRecords, fits = () => true }: PageOf<T>,
): Promise<Page<T>> {
  const limit = clampLimit(asked)
  const items: T[] = []
  let waiting: Place[] = []
  /** Reads the records at the waiting places. Returns the place at which the page is full. */
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
    const end = (await settle()) ?? (scanned >= MAX_SCANNED_PAGES * limit ? place : undefined)
    if (end !== undefined) return { items, next: formatCursor([end.ms, end.id]) }
  }
  const end = await settle()
  return { items, next: end === undefined ? null : formatCursor([end.ms, end.id]) }
}

export type Range = {
  /** A sorted set of ids by Unix ms. */
  readonly key: string
  /** Unix ms, both inclusive. */
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly behind?: Place | undefined
  /** Default: newest first. */
  readonly isOldestFirst?: boolean
  /** How many members are read in one request. */
  readonly limit?: number | undefined
}

/** Yields the members of a sorted set, newest or oldest first. Members of the same moment are in the order of their ids, as in Redis. */
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
    // One moment has more members than were requested, and all of them were yielded already: request more.
    count = left.length === 0 ? count * 2 : limit
  }
}
