import { mkdirSync } from 'node:fs'
import type { Logger } from '../../runtime/index.ts'
import { describe, RelayError } from '../relay-error.ts'
import { isDamage, isLocked, journalPath, openJournalFile, takeJournalLock, type JournalFile } from './journal-file.ts'
import type { JournalRow, Lost } from './journal-entry.ts'
import { recoverJournal, removeFiles, resumeRecovery, takeFormerJournal } from './salvage.ts'

/** A larger file is not checked at the start, because the relay would not hear Pub/Sub meanwhile. Damage then shows when the damaged page is read. */
const MAX_CHECKED_BYTES = 256 * 1024 * 1024

/** A recovery that failed, as on a full disk, is not repeated within this time (ms): it reads the whole file. */
const RETRY_MS = 60_000

export type JournalOptions = {
  readonly dataDir: string
  readonly relayId: string
  /** The relay's sources. It takes over the journal of another relay only if that relay heard no other sources. */
  readonly sourceIds: readonly string[]
  readonly log: Logger
  readonly now: () => number
}

/** The content of one transaction. */
export type JournalBatch = {
  readonly rows?: readonly JournalRow[] | undefined
  /** Rows to delete, by route: the first and the last row of each range. */
  readonly settled?: ReadonlyMap<string, readonly (readonly [first: number, last: number])[]> | undefined
  /** Attempts to keep, by route and row. */
  readonly attempts?: ReadonlyMap<string, ReadonlyMap<number, number>> | undefined
  readonly notes?: ReadonlyMap<string, number> | undefined
  /** Losses to add to the ledger. */
  readonly lost?: readonly Lost[]
  /** Losses to remove from the ledger, because the rows announce them. */
  readonly announced?: readonly Lost[]
}

/**
 * Opens the journal of a relay and locks it for this process: Pub/Sub notifications on disk until their target has accepted them. SQLite runs in WAL
 * mode with `synchronous = NORMAL`: a committed transaction survives the death of the process
 * (https://www.sqlite.org/pragma.html#pragma_synchronous). A file that turns out to be damaged is moved aside, and its readable rows are copied to a
 * new file. Writing and reading throw `relay.journal.unusable`. @throws RelayError `relay.journal.locked`, `relay.journal.unusable`
 */
export function openJournal(options: JournalOptions) {
  const { dataDir, sourceIds, log, now } = options
  const path = journalPath(dataDir, options.relayId)
  const lastRows = new Map<string, number>()
  let file: JournalFile | undefined
  let rowCount = 0
  let usedBytes = 0
  let recoveries = 0
  let lostMs: number | undefined
  let failed: { readonly error: unknown; readonly atMs: number } | undefined

  const open = (): JournalFile => {
    file = openJournalFile(path)
    const tables = file.countRows()
    if (tables.some(({ isFormer }) => isFormer)) return recover()
    rowCount = 0
    for (const { route, rows, lastRow } of tables) {
      lastRows.set(route, Math.max(lastRows.get(route) ?? 0, lastRow))
      rowCount += rows
    }
    return file
  }

  /**
   * Continues with a new file that contains the readable rows of the present one, which is damaged or of an older version. The ledger of the new file
   * records what may be missing.
   */
  const recover = (cause?: unknown, expectedRows?: number): JournalFile => {
    file?.close()
    file = undefined
    try {
      const { aside, saved, hole, notes, writtenMs } = recoverJournal(path, now(), sourceIds, expectedRows)
      if (cause === undefined && hole === undefined) {
        removeFiles(aside)
        log.info({ code: 'relay.journal.converted', saved }, 'The relay converted the journal of an older version')
        return open()
      }
      if (notes.size === 0) lostMs = writtenMs
      recoveries++
      log.error(
        { code: 'relay.journal.damaged', file: aside, saved, error: describe(cause ?? 'not every row can be read') },
        'The journal file was damaged. The relay moved it aside and continues with the rows that could be read; check the disk',
      )
      return open()
    } catch (error) {
      failed = { error, atMs: now() }
      throw error
    }
  }

  let unlock: (() => void) | undefined
  try {
    mkdirSync(dataDir, { recursive: true })
    unlock = takeJournalLock(path)
    try {
      resumeRecovery(path, now())
      takeFormerJournal(options)
      const opened = open()
      if (opened.usedBytes() <= MAX_CHECKED_BYTES && !opened.isSound())
        recover(new RelayError('relay.journal.damaged', 'the integrity check of SQLite failed'))
    } catch (error) {
      if (!isDamage(error)) throw error
      recover(error)
    }
  } catch (error) {
    file?.close()
    unlock?.()
    const locked = `another process uses the journal in ${dataDir}: end that process, or give this one its own ENIGMA_DATA_DIR or ENIGMA_RELAY_ID`
    const unusable = `the journal in ${dataDir} cannot be opened (${describe(error)}): make the folder writable, free disk space, or set ENIGMA_DATA_DIR`
    throw isLocked(error)
      ? new RelayError('relay.journal.locked', locked, { cause: error })
      : new RelayError('relay.journal.unusable', unusable, { cause: error })
  }

  /** Runs `work`, and once more on a new file when the present one turns out to be damaged. */
  const guarded = <T>(what: string, work: (file: JournalFile) => T): T => {
    try {
      if (file === undefined) {
        if (failed !== undefined && now() - failed.atMs < RETRY_MS) throw failed.error
        return work(recover(failed?.error))
      }
      try {
        return work(file)
      } catch (error) {
        if (!isDamage(error)) throw error
        return work(recover(error, rowCount))
      }
    } catch (error) {
      const text = `the journal cannot be ${what}: ${describe(error)}`
      throw new RelayError('relay.journal.unusable', text, { cause: error })
    }
  }

  return {
    /** Returns the number of the next row of this route: one more than the last one in this process, or in the file. */
    nextRow(route: string): number {
      const row = (lastRows.get(route) ?? 0) + 1
      lastRows.set(route, row)
      return row
    },
    /** Writes the whole batch or, when it throws, nothing. */
    write: ({ rows = [], settled, attempts, notes, lost = [], announced = [] }: JournalBatch): void =>
      guarded('written', (to) => {
        let removed = 0
        to.inTransaction(() => {
          for (const row of rows) to.insert(row)
          for (const [route, ofRoute] of attempts ?? [])
            for (const [row, attempt] of ofRoute) to.keepAttempt(route, row, attempt)
          for (const [route, ranges] of settled ?? [])
            for (const [first, last] of ranges) removed += to.remove(route, first, last)
          for (const [name, value] of notes ?? []) to.note(name, value)
          for (const one of lost) to.addLost(one)
          for (const one of announced) to.removeLost(one)
        })
        rowCount += rows.length - removed
        if (settled === undefined && notes === undefined) return
        try {
          to.releaseFreePages()
        } catch {
          // The batch is committed all the same. The problem shows again when the file is used next.
        }
      }),
    /** Reads rows of a route after this one, in the order heard: at least one, if there is one, and no more than `maxBytes` of packets. */
    read: (route: string, afterRow: number, maxBytes: number): JournalRow[] =>
      guarded('read', (from) => from.read(route, afterRow, maxBytes)),
    /** Returns the losses that are not announced yet. */
    lost: (): Lost[] => guarded('read', (from) => from.lost()),
    /** Returns the routes that may have rows, each with the number of its last row. */
    lastRows: (): ReadonlyMap<string, number> => lastRows,
    /** Returns the number of rows, and the bytes of the file in use, which it reads from the file. */
    size(): { readonly rows: number; readonly bytes: number } {
      try {
        usedBytes = guarded('read', (from) => from.usedBytes())
      } catch {
        // The last known size is returned.
      }
      return { rows: rowCount, bytes: usedBytes }
    },
    /** Returns the number that was noted by `write` under this name. */
    noted: (name: string): number | undefined => guarded('read', (from) => from.notes().get(name)),
    /** Returns how often the file was damaged and recovered since it was opened. The ledger contains the rows that were lost. */
    recoveries: (): number => recoveries,
    /** When (ms) the file was last written, if it was found damaged at the start and its notes were lost; otherwise undefined. */
    lostMs,
    close(): void {
      file?.close()
      unlock()
    },
  }
}

export type Journal = ReturnType<typeof openJournal>
