import { randomInt } from 'node:crypto'
import { RELAY_TYPE, type Route } from '../../protocol/index.ts'
import type { Logger } from '../../runtime/index.ts'
import { describe } from '../relay-error.ts'
import type { PubsubIntake } from '../pubsub/pubsub-intake.ts'
import { addTo, toDiscarded, type DiscardLedger, type JournalRow, type Lost } from './journal-entry.ts'
import type { Journal } from './journal.ts'

/** The shortest time (ms) between two attempts to use a journal that cannot be written: an attempt is not free. */
const RETRY_MS = 250

/**
 * How long (ms) settled rows and attempts are gathered. Most rows are adjacent, so they are deleted as ranges. After a crash, the gathered rows are
 * sent again.
 */
const GATHER_MS = 20

export type JournalWriterOptions = {
  readonly journal: Journal
  readonly log: Logger
  readonly now: () => number
  readonly discarded: DiscardLedger
  /** Called when settled rows are due to be deleted. */
  readonly onDue: () => void
  /** Called when the journal can be written again. */
  readonly onWritable: () => void
}

/**
 * Creates the writer: it gathers settled rows, attempts and notes, and writes them together with heard notifications. Logs once when writing fails,
 * and once when it works again.
 */
export function createJournalWriter({ journal, log, now, discarded, onDue, onWritable }: JournalWriterOptions) {
  const settled = new Map<string, number[]>()
  const attempts = new Map<string, Map<number, number>>()
  const notes = new Map<string, number>()
  let gathering: NodeJS.Timeout | undefined
  let isDue = false
  let brokenSince: number | undefined
  let triedAt = 0

  /** Returns undefined when the journal cannot be used. */
  const tryJournal = <T>(work: () => T): T | undefined => {
    try {
      return work()
    } catch (error) {
      if (brokenSince === undefined)
        log.error(
          { code: 'relay.journal.write_failed', error: describe(error) },
          'The journal cannot be used. Pub/Sub continues without it, and a crash now loses notifications that no target has accepted; free disk space or correct ENIGMA_DATA_DIR',
        )
      brokenSince ??= now()
      return undefined
    }
  }
  const due = () => {
    isDue = settled.size + attempts.size > 0
    onDue()
  }
  const gather = () => (gathering ??= setTimeout(due, GATHER_MS).unref())

  return {
    tryJournal,
    /** Marks a row as no longer needed. */
    forget(route: string, row: number): void {
      const rows = settled.get(route)
      if (rows === undefined) settled.set(route, [row])
      else rows.push(row)
      gather()
    },
    /** Keeps the current attempt of a row. */
    keepAttempt(route: string, row: number, current: number): void {
      const ofRoute = attempts.get(route) ?? new Map<number, number>()
      attempts.set(route, ofRoute.set(row, current))
      gather()
    },
    /** Ends the gathering: the gathered rows are due now. */
    due,
    note(name: string, value: number): void {
      // A number that SQLite cannot store unchanged would keep the whole transaction from being written.
      if (Number.isSafeInteger(value)) notes.set(name, value)
    },
    /** Returns false right after a failure, unless `atOnce`. */
    mayTry: (atOnce: boolean): boolean =>
      brokenSince === undefined || atOnce || performance.now() - triedAt >= RETRY_MS,
    /** Returns whether the rows could be written. `announced`: the losses that these rows announce. */
    write(rows: readonly JournalRow[], announced: readonly Lost[] = []): boolean {
      triedAt = performance.now()
      const ranges = isDue ? new Map([...settled].map(([route, of]) => [route, toRanges(of)])) : undefined
      const lost = discarded.unwritten()
      const isWritten = tryJournal(() => {
        const notesToWrite = notes.size > 0 ? notes : undefined
        const kept = isDue ? attempts : undefined
        journal.write({ rows, settled: ranges, attempts: kept, notes: notesToWrite, lost, announced })
        return true
      })
      if (isWritten === undefined) return false
      if (isDue) {
        settled.clear()
        attempts.clear()
        gathering = undefined
        isDue = false
      }
      notes.clear()
      discarded.written()
      if (brokenSince !== undefined) {
        log.info({ code: 'relay.journal.writable', afterMs: now() - brokenSince }, 'The journal can be written again')
        brokenSince = undefined
        onWritable()
      }
      return true
    },
    get hasWork(): boolean {
      return isDue || notes.size > 0
    },
    /** Since when (ms) the journal cannot be written; undefined when it can. */
    get brokenSince() {
      return brokenSince
    },
  }
}

/** Groups rows into ranges of consecutive numbers. */
function toRanges(rows: number[]): (readonly [first: number, last: number])[] {
  const ranges: [number, number][] = []
  for (const row of rows.toSorted((a, b) => a - b)) {
    const range = ranges.at(-1)
    if (range?.[1] === row - 1) range[1] = row
    else ranges.push([row, row])
  }
  return ranges
}

export type TrimOptions = {
  readonly journal: Journal
  /** The bytes that the journal may use on disk. */
  readonly maxBytes: number
  /** Called with each loss, which is in the ledger by then. */
  readonly onDiscarded: (lost: Lost) => void
}

/** How many bytes of packets are discarded at once: few enough to wait for. */
export const TRIM_BYTES = 64 * 1024

/** Notifications of a table that are only in the journal: the route that they last went to, and the row after which they are not in memory. */
export type Backlog = { route: Route; row: number }

/**
 * Keeps the journal within its size limit. First discards the oldest notifications of routes with `maxAgeMs`, because they are worthless by then.
 * When there are none, discards the oldest notifications of all routes. Discards only notifications that are not in memory: `backlogs` gives the row
 * after which these begin. The transaction that deletes them records the loss in the journal's ledger. Returns whether it discarded any.
 */
export function trimJournal(backlogs: ReadonlyMap<string, Backlog>, options: TrimOptions): boolean {
  const { journal, maxBytes, onDiscarded } = options
  if (backlogs.size === 0 || journal.size().bytes <= maxBytes) return false
  for (const isAging of [true, false]) {
    const [oldest] = [...backlogs]
      .filter(([, { route }]) => route.type !== RELAY_TYPE && (route.maxAgeMs !== undefined) === isAging)
      .flatMap(([name, { row }]) => journal.read(name, row, 0))
      .toSorted((a, b) => a.entry.timeMs - b.entry.timeMs)
    if (oldest === undefined) continue
    const { route } = oldest.entry
    const rows = journal.read(route, oldest.row - 1, TRIM_BYTES)
    const bySource = new Map<string, Lost>()
    for (const { entry } of rows) addTo(bySource, toDiscarded(entry))
    const lost = [...bySource.values()]
    journal.write({ settled: new Map([[route, [[oldest.row, rows.at(-1)?.row ?? oldest.row]]]]), lost })
    for (const one of lost) onDiscarded(one)
    return true
  }
  return false
}

/** Names of the numbers that the journal keeps beside notifications. Source ids contain no `#`. */
const ID_NOTE = '#journal'
const numberNote = (sourceId: string): string => `#number:${sourceId}`

/**
 * Reads the journal's id, which no other journal has, or creates it when the journal is first opened. Only one process at a time holds a journal, so
 * any other process that used this id is gone. Returns undefined when the id cannot be written, as on a full disk.
 */
export function readJournalId(journal: Journal): number | undefined {
  const known = journal.noted(ID_NOTE)
  if (known !== undefined) return known
  const id = randomInt(1, 2 ** 48 - 1)
  try {
    journal.write({ notes: new Map([[ID_NOTE, id]]) })
    return id
  } catch {
    // The next notification that cannot be written logs the reason.
    return undefined
  }
}

/** Creates the numbers that this process and earlier ones keep in the journal for a source. */
export function createSourceNotes(sourceId: string, journal: Journal, intake: Pick<PubsubIntake, 'note'>) {
  return {
    /**
     * Until when (ms) an earlier process heard Pub/Sub. When the note is lost, this is the time of the damaged file, so that a gap is
     * announced all the same.
     */
    formerlyHeardMs: journal.noted(sourceId) ?? journal.lostMs,
    /** The highest number that an earlier process saw. */
    formerNumber: journal.noted(numberNote(sourceId)),
    /** Notes until when (ms) Pub/Sub was heard. */
    heard: (untilMs: number): void => intake.note(sourceId, untilMs),
    /** Notes the highest number so far. */
    saw: (number: number): void => intake.note(numberNote(sourceId), number),
  }
}

export type SourceNotes = ReturnType<typeof createSourceNotes>
