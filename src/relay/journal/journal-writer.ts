import type { Logger } from '../../runtime/index.ts'
import { describe } from '../errors.ts'
import type { GivenUpLedger } from '../pubsub/given-up.ts'
import type { Journal, JournalEntry, Lost } from './journal.ts'

/** How often (ms) a journal that cannot be written is tried again: a try is not free. */
const RETRY_MS = 250

export type JournalWriterOptions = {
  readonly journal: Journal
  readonly log: Logger
  readonly now: () => number
  readonly givenUp: GivenUpLedger
  /** Called when the journal can be written again. */
  readonly onWritable: () => void
}

/** Gathers what is to be forgotten and noted, and writes it with what was heard; says once when that fails, and when it works again. */
export function createJournalWriter({ journal, log, now, givenUp, onWritable }: JournalWriterOptions) {
  let settled: number[] = []
  const notes = new Map<string, number>()
  let brokenSince: number | undefined
  let triedAt = 0

  const broken = (error: unknown) => {
    if (brokenSince === undefined) {
      log.error(
        { code: 'relay.journal.write_failed', error: describe(error) },
        'The journal cannot be used. Pub/Sub continues without it, and a crash now loses notifications that SQS has not accepted; free disk space or correct ENIGMA_DATA_DIR',
      )
    }
    brokenSince ??= now()
  }

  return {
    broken,
    /** What is lost and not announced; none while the journal cannot be read. */
    ledger(): readonly Lost[] {
      try {
        return journal.lost()
      } catch (error) {
        broken(error)
        return []
      }
    },
    /** This row is not needed any more. */
    forget: (row: number): void => void settled.push(row),
    note(name: string, value: number): void {
      // A number that SQLite would not keep as it is would keep everything else from being written.
      if (Number.isSafeInteger(value)) notes.set(name, value)
    },
    /** False right after a failure, unless at once. */
    mayTry: (atOnce: boolean): boolean =>
      brokenSince === undefined || atOnce || performance.now() - triedAt >= RETRY_MS,
    /** The rows of the entries; undefined when they could not be written. `announced`: what they say is lost. */
    write(entries: readonly JournalEntry[], announced: readonly Lost[] = []): number[] | undefined {
      triedAt = performance.now()
      try {
        const rows = journal.write(entries, settled, notes, { add: givenUp.unwritten(), announced })
        settled = []
        notes.clear()
        givenUp.written()
        const wasBroken = brokenSince !== undefined
        if (brokenSince !== undefined)
          log.info({ code: 'relay.journal.writable', afterMs: now() - brokenSince }, 'The journal can be written again')
        brokenSince = undefined
        if (wasBroken) onWritable()
        return rows
      } catch (error) {
        broken(error)
        return undefined
      }
    },
    get hasWork(): boolean {
      return settled.length > 0 || notes.size > 0
    },
    /** Since when (ms) it cannot be written; undefined when it can. */
    get brokenSince() {
      return brokenSince
    },
  }
}
