import type { Logger } from '../../runtime/index.ts'
import { describe } from '../errors.ts'
import type { GivenUpLedger } from '../pubsub/given-up.ts'
import type { Journal } from './journal.ts'
import type { JournalRow, Lost } from './journal-row.ts'

/** How often (ms) a journal that cannot be written is tried again: a try is not free. */
const RETRY_MS = 250

/** So long (ms) settled rows are gathered: most follow each other, and are deleted as ranges. After a crash they are sent again. */
const GATHER_MS = 20

export type JournalWriterOptions = {
  readonly journal: Journal
  readonly log: Logger
  readonly now: () => number
  readonly givenUp: GivenUpLedger
  /** Called when settled rows are to be deleted. */
  readonly onDue: () => void
  /** Called when the journal can be written again. */
  readonly onWritable: () => void
}

/** Gathers settled rows and notes, and writes them with what was heard; logs once when that fails, and when it works again. */
export function createJournalWriter({ journal, log, now, givenUp, onDue, onWritable }: JournalWriterOptions) {
  const settled = new Map<string, number[]>()
  const notes = new Map<string, number>()
  let gathering: NodeJS.Timeout | undefined
  let isDue = false
  let brokenSince: number | undefined
  let triedAt = 0

  /** Returns undefined when the journal cannot be used. */
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work()
    } catch (error) {
      if (brokenSince === undefined)
        log.error(
          { code: 'relay.journal.write_failed', error: describe(error) },
          'The journal cannot be used. Pub/Sub continues without it, and a crash now loses notifications that SQS has not accepted; free disk space or correct ENIGMA_DATA_DIR',
        )
      brokenSince ??= now()
      return undefined
    }
  }
  const due = () => {
    isDue = settled.size > 0
    onDue()
  }

  return {
    attempt,
    /** This row is not needed any more. */
    forget(route: string, row: number): void {
      const rows = settled.get(route)
      if (rows === undefined) settled.set(route, [row])
      else rows.push(row)
      gathering ??= setTimeout(due, GATHER_MS).unref()
    },
    /** Gathers no longer. */
    due,
    note(name: string, value: number): void {
      // A number that SQLite would not keep as it is would keep everything else from being written.
      if (Number.isSafeInteger(value)) notes.set(name, value)
    },
    /** False right after a failure, unless at once. */
    mayTry: (atOnce: boolean): boolean =>
      brokenSince === undefined || atOnce || performance.now() - triedAt >= RETRY_MS,
    /** Returns whether the rows could be written. `announced`: the losses that they announce. */
    write(rows: readonly JournalRow[], announced: readonly Lost[] = []): boolean {
      triedAt = performance.now()
      const ranges = isDue ? new Map([...settled].map(([route, of]) => [route, toRanges(of)])) : undefined
      const isWritten = attempt(() => {
        journal.write({
          rows,
          settled: ranges,
          notes: notes.size > 0 ? notes : undefined,
          lost: givenUp.unwritten(),
          announced,
        })
        return true
      })
      if (isWritten === undefined) return false
      if (isDue) {
        settled.clear()
        gathering = undefined
        isDue = false
      }
      notes.clear()
      givenUp.written()
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
    /** Since when (ms) it cannot be written; undefined when it can. */
    get brokenSince() {
      return brokenSince
    },
  }
}

/** The rows as ranges of numbers that follow each other. */
function toRanges(rows: number[]): (readonly [first: number, last: number])[] {
  const ranges: [number, number][] = []
  for (const row of rows.toSorted((a, b) => a - b)) {
    const range = ranges.at(-1)
    if (range?.[1] === row - 1) range[1] = row
    else ranges.push([row, row])
  }
  return ranges
}
