import type { Page } from '../types.ts'
import type { Upstash } from '../upstash.ts'
import { clampLimit, formatCursor, parsePlace, toMap } from './replies.ts'

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
