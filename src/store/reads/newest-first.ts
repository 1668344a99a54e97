import type { Page } from '../types.ts'
import type { Upstash } from '../upstash.ts'
import { clampLimit, formatCursor, parsePlace, toMap } from './replies.ts'

/** How many candidates are looked at for one page: a filter on what has no index may leave few of them. */
const SCAN_PAGES = 10

export type NewestFirst<T> = {
  /** A sorted set of ids by unix ms. */
  readonly key: string
  /** Unix ms, both included. */
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
  /** The records of these ids; undefined where there is none any more. */
  readonly readRecords: (ids: readonly string[]) => Promise<(T | undefined)[]>
  readonly fits: (record: T) => boolean
}

/**
 * A page of what fits, newest first. The cursor names the time and the id of the last one that was looked at, so that it holds while
 * new ones come in. @throws StoreError
 */
export async function readNewestFirst<T>(
  upstash: Upstash,
  { readRecords, fits, ...range }: NewestFirst<T>,
): Promise<Page<T>> {
  const limit = clampLimit(range.limit)
  const items: T[] = []
  let position = range.cursor === undefined ? undefined : toPosition(range.cursor)
  for (let scanned = 0; scanned < SCAN_PAGES; scanned++) {
    const candidates = await readIndex(upstash, range, position, limit)
    const records = await readRecords(candidates.map(({ id }) => id))
    for (const [index, candidate] of candidates.entries()) {
      position = candidate
      const record = records[index]
      if (record === undefined || !fits(record)) continue
      items.push(record)
      if (items.length === limit) return { items, next: formatCursor([candidate.score, candidate.id]) }
    }
    if (candidates.length < limit) return { items, next: null }
  }
  return { items, next: position === undefined ? null : formatCursor([position.score, position.id]) }
}

type Position = { readonly score: number; readonly id: string }

const toPosition = (cursor: string): Position => {
  const { ms: score, id } = parsePlace(cursor)
  return { score, id }
}

type Range = Pick<NewestFirst<unknown>, 'key' | 'fromMs' | 'toMs'>

/** Up to `limit` entries behind a position. Those of the same moment are in the order of their ids, the last first, as Redis has them. */
async function readIndex(
  upstash: Upstash,
  { key, fromMs, toMs }: Range,
  behind: Position | undefined,
  limit: number,
): Promise<Position[]> {
  const min = fromMs === undefined ? '-inf' : String(fromMs)
  const max = behind === undefined ? (toMs === undefined ? '+inf' : String(toMs)) : String(behind.score)
  for (let count = limit; ; count *= 2) {
    const [reply] = await upstash.readAll([
      ['ZREVRANGEBYSCORE', key, max, min, 'WITHSCORES', 'LIMIT', '0', String(count)],
    ])
    const entries = [...toMap(reply)].map(([id, score]) => ({ id, score: Number(score) }))
    const left =
      behind === undefined ? entries : entries.filter(({ id, score }) => score < behind.score || id < behind.id)
    // More of one moment than a page holds: all that came before were returned already, so look further.
    if (left.length >= limit || entries.length < count) return left.slice(0, limit)
  }
}
