import type { GapCause } from '../../protocol/index.ts'
import { sleep } from '../../runtime/index.ts'
import type { Stamped } from '../item.ts'
import type { SourceTools } from '../source.ts'

/** A Pub/Sub notification as it was heard, with everything needed to make the same CloudEvent again. */
export type JournalEntry = {
  readonly route: string
  readonly sourceId: string
  readonly channel: string
  readonly number: number
  readonly index: number
  readonly timeMs: number
  readonly packet: Uint8Array
  /** 1 + how often a server that runs functions asked for the notification again. Default 1. */
  readonly attempt?: number
}

/** `row`: the number of the notification within its route. The numbers rise in the order in which notifications were heard. */
export type JournalRow = { readonly row: number; readonly entry: JournalEntry }

/** Heard notifications that are lost, from the oldest to the newest. Kept until the gap that announces them is in the journal. */
export type Lost = {
  readonly sourceId: string
  /** Empty when the route is unknown. */
  readonly route: string
  readonly cause: Extract<GapCause, 'journal_full' | 'journal_damaged'>
  readonly fromMs: number
  readonly toMs: number
  /** 0 when the number is unknown. */
  readonly lost: number
}

/** A row as SQLite returns it, with numbers as BigInts. */
export type Found = Readonly<Record<string, unknown>>

/** The latest time (ms) that a `Date` can represent. */
const LAST_MS = 8.64e15

/** Above every index that is counted, and still ten digits long. */
const REPAIRED_INDEX = 3_000_000_000

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/**
 * Reads a row of a table of notifications. Repairs numbers that are not valid: an older version stored some beyond the safe integers, or the file was
 * damaged. The notification then gets an id of its own, the same each time that the row is read.
 */
export function toRow(found: Found, route: string): JournalRow {
  const row = Number(found['row'])
  const [number, index, time] = [Number(found['number']), Number(found['ix']), Number(found['time'])]
  const timeMs = isCount(time) && time <= LAST_MS ? time : 0
  const isValid = isCount(number) && isCount(index)
  // The table has this column only after a server asked for another attempt.
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

/** Reads a row of the table `until`. Returns nothing when its value is not a valid number. */
export function toNote(found: Found): [name: string, value: number][] {
  const value = Number(found['at'])
  return isCount(value) ? [[String(found['source']), value]] : []
}

/** Reads a row of the table `lost`. Returns nothing when its times are not valid. */
export function toLost(found: Found): Lost[] {
  const [fromMs, toMs, lost] = [Number(found['first']), Number(found['last']), Number(found['count'])]
  if (![fromMs, toMs, lost].every(isCount) || toMs > LAST_MS || fromMs > toMs) return []
  const cause = found['cause'] === 'journal_damaged' ? 'journal_damaged' : 'journal_full'
  return [{ sourceId: String(found['source']), route: String(found['route']), cause, fromMs, toMs, lost }]
}

/** Returns the loss of one notification that is discarded because there is no room for it. */
export function toDiscarded({ sourceId, route, timeMs }: Pick<JournalEntry, 'sourceId' | 'route' | 'timeMs'>): Lost {
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

/** A heard notification, or a notice of the relay itself. */
export type Heard = { readonly stamped: Stamped; readonly entry: JournalEntry }

type Kept = Pick<JournalEntry, 'sourceId' | 'route' | 'timeMs'>

/**
 * Keeps notifications that were heard while the journal could not be written. They get no row: they are sent from memory, and lost with the process.
 * Those that must not overtake rows of their route wait here until the rows are read back; their number is their position among the rows.
 */
export function createUnwrittenBuffer() {
  const sent = new Set<Kept>()
  const waiting = new Map<string, (Heard & JournalRow)[]>()
  let bytes = 0

  return {
    /** Records that the notification goes into its lane. Returns a function to call when it is settled. */
    send({ sourceId, route, timeMs }: JournalEntry): () => void {
      const kept = { sourceId, route, timeMs }
      sent.add(kept)
      return () => void sent.delete(kept)
    },
    wait(one: Heard & JournalRow): void {
      const { route } = one.entry
      const ofRoute = waiting.get(route) ?? []
      ofRoute.push(one)
      waiting.set(route, ofRoute)
      bytes += one.stamped.bytes
    },
    /** Takes out the waiting notifications of a route that were heard before this row, in order. */
    takeBefore(route: string, row: number): (Heard & JournalRow)[] {
      const all = waiting.get(route) ?? []
      const behind = all.findIndex((one) => one.row > row)
      const taken = all.splice(0, behind === -1 ? all.length : behind)
      for (const { stamped } of taken) bytes -= stamped.bytes
      return taken
    },
    /** Returns the notifications that no target has accepted. */
    left: (): Kept[] => [...sent, ...[...waiting.values()].flat().map(({ entry }) => entry)],
    /** The bytes of the waiting notifications. */
    get bytes() {
      return bytes
    },
  }
}

/** Losses within this time (ms) are announced together. */
const GATHER_MS = 5_000

/**
 * Counts discarded notifications, and has them announced as gaps. Notifications are discarded only when a target accepts nothing for so long that the
 * journal has reached its size limit, or while the journal cannot be written and memory is full as well. Losses of the journal are in its ledger,
 * from the transaction that deleted the rows until the one that writes the notice of the gap. All other losses are here until the journal can be
 * written. Calls `onDue` when losses are due to be announced.
 */
export function createDiscardLedger(
  tools: Pick<SourceTools, 'log' | 'metrics'>,
  onDue: () => void,
  signal: AbortSignal,
) {
  const { log, metrics } = tools
  const unwritten = new Map<string, Lost>()
  let gathering: Promise<void> | undefined

  const schedule = () => {
    gathering ??= sleep(GATHER_MS, signal).then(() => {
      gathering = undefined
      if (!signal.aborted) onDue()
    })
  }
  const count = (lost: Lost, reason: 'journal_full' | 'memory_full') => {
    metrics.discarded.inc({ route: lost.route, reason }, lost.lost)
    if (gathering === undefined)
      log.error(
        { code: 'relay.journal.discarded', source: lost.sourceId, route: lost.route, notifications: lost.lost, reason },
        'No room is left in the journal or in memory: the relay discards Pub/Sub notifications and announces a gap',
      )
    schedule()
  }

  return {
    /** Counts notifications that the journal discarded. They are in its ledger. */
    count: (lost: Lost): void => count(lost, 'journal_full'),
    /** Counts one notification for which neither the journal nor memory has room. */
    add(entry: Kept): void {
      const lost = toDiscarded(entry)
      addTo(unwritten, lost)
      count(lost, 'memory_full')
    },
    /** Returns the losses that are not in the journal's ledger yet. */
    unwritten: (): readonly Lost[] => [...unwritten.values()],
    /** Clears them after they were written to the ledger, or announced. */
    written: (): void => unwritten.clear(),
    /** Schedules the announcement. */
    schedule,
  }
}

export type DiscardLedger = ReturnType<typeof createDiscardLedger>
