import type { GapCause } from '../../protocol/index.ts'

/** A Pub/Sub notification as it was heard, enough to make the same CloudEvent again. */
export type JournalEntry = {
  readonly route: string
  readonly sourceId: string
  readonly channel: string
  readonly number: number
  readonly index: number
  readonly timeMs: number
  readonly packet: Uint8Array
  /** 1 + how often a server that runs functions asked for it again. Default 1. */
  readonly attempt?: number
}

/** `row`: its number within its route. Rows are in the order heard. */
export type JournalRow = { readonly row: number; readonly entry: JournalEntry }

/** Notifications that were heard and are lost, from the oldest to the newest. Kept until the gap that announces them is in the journal. */
export type Lost = {
  readonly sourceId: string
  /** Empty when nobody knows. */
  readonly route: string
  readonly cause: Extract<GapCause, 'journal_full' | 'journal_damaged'>
  readonly fromMs: number
  readonly toMs: number
  /** 0 when nobody knows. */
  readonly lost: number
}

/** A row as SQLite has it, with numbers as BigInts. */
export type Found = Readonly<Record<string, unknown>>

/** The latest time that a `Date` can have (ms). */
const LAST_MS = 8.64e15

/** Behind every index that is counted, and still ten digits long. */
const REPAIRED_INDEX = 3_000_000_000

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/**
 * Reads a row of a table of notifications. Repairs numbers that are not valid here (an older version kept some from beyond the safe
 * integers, or the file was damaged): the notification gets an id of its own, the same each time that it is read.
 */
export function toRow(found: Found, route: string): JournalRow {
  const row = Number(found['row'])
  const [number, index, time] = [Number(found['number']), Number(found['ix']), Number(found['time'])]
  const timeMs = isCount(time) && time <= LAST_MS ? time : 0
  const isValid = isCount(number) && isCount(index)
  // A file in which nothing was ever asked for again has no such column.
  const attempt = Number(found['attempt'] ?? 1)
  const entry = {
    route,
    sourceId: String(found['source']),
    channel: String(found['channel']),
    number: isValid ? number : timeMs,
    index: isValid ? index : REPAIRED_INDEX + row,
    timeMs,
    packet: found['packet'] instanceof Uint8Array ? found['packet'] : new Uint8Array(),
    ...(isCount(attempt) && attempt > 1 ? { attempt } : {}),
  }
  return { row, entry }
}

/** Reads a row of the table `until`: nothing when its value cannot be counted on from. */
export function toNote(found: Found): [name: string, value: number][] {
  const value = Number(found['at'])
  return isCount(value) ? [[String(found['source']), value]] : []
}

/** Reads a row of the table `lost`: nothing when its times are not valid. */
export function toLost(found: Found): Lost[] {
  const [fromMs, toMs, lost] = [Number(found['first']), Number(found['last']), Number(found['count'])]
  if (![fromMs, toMs, lost].every(isCount) || toMs > LAST_MS || fromMs > toMs) return []
  const cause = found['cause'] === 'journal_damaged' ? 'journal_damaged' : 'journal_full'
  return [{ sourceId: String(found['source']), route: String(found['route']), cause, fromMs, toMs, lost }]
}

/** One notification that is given up, since there is no room for it. */
export function toGivenUp({ sourceId, route, timeMs }: Pick<JournalEntry, 'sourceId' | 'route' | 'timeMs'>): Lost {
  return { sourceId, route, cause: 'journal_full', fromMs: timeMs, toMs: timeMs, lost: 1 }
}

/** Adds up losses of the same source, route and cause, as the journal's ledger does. */
export function addTo(all: Map<string, Lost>, lost: Lost): void {
  const key = JSON.stringify([lost.sourceId, lost.route, lost.cause])
  const former = all.get(key)
  all.set(key, {
    ...lost,
    fromMs: Math.min(former?.fromMs ?? lost.fromMs, lost.fromMs),
    toMs: Math.max(former?.toMs ?? lost.toMs, lost.toMs),
    lost: (former?.lost ?? 0) + lost.lost,
  })
}
