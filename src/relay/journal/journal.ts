import { mkdirSync } from 'node:fs'
import type { Logger } from '../../runtime/index.ts'
import { describe, RelayError } from '../errors.ts'
import { isDamage, openJournalFile, type JournalFile } from './journal-file.ts'
import { journalPath, takeFormerJournal } from './former-journal.ts'
import { isLocked, takeJournalLock } from './journal-lock.ts'
import { hasAside, recoverJournal, resumeRecovery, takeBack } from './salvage.ts'
import type { JournalEntry, JournalRow, Lost } from './journal-row.ts'

export type { JournalEntry, JournalRow, Lost } from './journal-row.ts'

/**
 * PubSub notifications on disk until SQS has accepted them. SQLite in WAL mode with `synchronous = NORMAL`: what was committed
 * survives the death of the process (https://www.sqlite.org/pragma.html#pragma_synchronous); one transaction holds all that came
 * in one turn of the event loop. A file that turns out to be damaged is put aside, and what can be read of it is taken over.
 */
export type Journal = {
  /**
   * Writes, forgets and notes in one transaction, and adds to the ledger of what is lost, or takes off it what is announced by now.
   * Returns the rows of the entries, in order. Throws `relay.journal.unusable`.
   */
  write: (
    entries: readonly JournalEntry[],
    settledRows: readonly number[],
    notes?: ReadonlyMap<string, number>,
    ledger?: { readonly add?: readonly Lost[]; readonly announced?: readonly Lost[] },
  ) => number[]
  /**
   * Rows of a route behind `afterRow`, in the order heard: at least one, where there is one, and no more than `maxBytes` of packets.
   * Throws `relay.journal.unusable`.
   */
  read: (route: string, afterRow: number, maxBytes: number) => JournalRow[]
  /** What is lost and was not announced yet. Throws `relay.journal.unusable`. */
  lost: () => Lost[]
  /** The first rows of a route behind `afterRow`, without their packets. Throws `relay.journal.unusable`. */
  oldest: (
    route: string,
    afterRow: number,
    limit: number,
  ) => { readonly row: number; readonly bytes: number; readonly timeMs: number; readonly sourceId: string }[]
  /** The routes that have rows. */
  routes: () => string[]
  /** Gives the rows of routes that are not among these (an older version's) to this route. */
  reroute: (known: readonly string[], to: string) => void
  /** How many rows there are; bytes of the file that are in use. Cheap. */
  size: () => { readonly rows: number; readonly bytes: number }
  /** What was noted by `write` under this name. */
  noted: (name: string) => number | undefined
  /** How often it was damaged and recovered since it was opened: what is lost by that is in the ledger. */
  recoveries: () => number
  /** When (ms) a journal was written last whose notes were lost, when it was found damaged at the start; else undefined. */
  readonly lostMs: number | undefined
  close: () => void
}

/** A larger file is not looked through at the start: PubSub would not be heard meanwhile. Damage then shows when it is read. */
const CHECKED_BYTES = 256 * 1024 * 1024

export type JournalOptions = {
  readonly dataDir: string
  readonly relayId: string
  /** Of the relay: the journal of another one is taken over only if it heard no others. */
  readonly sourceIds: readonly string[]
  readonly log: Logger
  readonly now: () => number
}

/** A recovery that failed, as on a full disk, is not tried again before this (ms): it reads the whole file. */
const RETRY_MS = 60_000

/** Opens the journal of a relay and keeps it for this process alone. @throws RelayError `relay.journal.locked`, `relay.journal.unusable` */
export function openJournal({ dataDir, relayId, sourceIds, log, now }: JournalOptions): Journal {
  const path = journalPath(dataDir, relayId)
  let file: JournalFile | undefined
  let lastRow = 0
  let rowCount = 0
  let usedBytes = 0
  let recoveries = 0
  let lostMs: number | undefined
  let failed: { readonly error: unknown; readonly atMs: number } | undefined

  const open = (): JournalFile => {
    file = openJournalFile(path)
    rowCount = file.countRows()
    lastRow = Math.max(lastRow, file.lastRow())
    return file
  }

  /** Goes on with a new file that has what can be read of the old one. What may be missing is in its ledger. */
  const recover = (cause: unknown, expectedRows?: number): JournalFile => {
    closeQuietly(file)
    file = undefined
    try {
      const found = recoverJournal(path, now(), (draft, { notes, hole, saved, lastRow: highest }) => {
        draft.keepLastRow(Math.max(lastRow, highest))
        if (hole.mostRows === 0 || expectedRows === saved) return
        const heard = new Set([...sourceIds, ...[...notes.keys()].filter((name) => !name.startsWith('#'))])
        const lost = expectedRows === undefined || heard.size > 1 ? 0 : Math.max(0, expectedRows - saved)
        for (const sourceId of heard)
          draft.addLost({
            sourceId,
            route: '',
            cause: 'journal_damaged',
            fromMs: hole.fromMs,
            toMs: hole.toMs,
            lost,
          })
      })
      if (found.notes.size === 0) lostMs = found.writtenMs
      recoveries++
      log.error(
        { code: 'relay.journal.damaged', file: found.aside, saved: found.saved, error: describe(cause) },
        'The journal file was damaged. The relay moved it aside and continues with the rows that could be read; check the disk',
      )
      return open()
    } catch (error) {
      failed = { error, atMs: now() }
      throw error
    }
  }

  const start = (): void => {
    if (resumeRecovery(path, now()))
      return void recover(new RelayError('relay.journal.damaged', 'an earlier recovery was interrupted'))
    takeFormerJournal({ dataDir, relayId, sourceIds, log, nowMs: now() })
    const opened = open()
    if (opened.isVirgin() && hasAside(path)) {
      closeQuietly(opened)
      takeBack(path)
      return void recover(new RelayError('relay.journal.damaged', 'an earlier recovery was interrupted'))
    }
    if (opened.usedBytes() <= CHECKED_BYTES && !opened.isSound())
      recover(new RelayError('relay.journal.damaged', 'the integrity check of SQLite failed'))
  }

  const lock = ((): (() => void) => {
    try {
      mkdirSync(dataDir, { recursive: true })
      const taken = takeJournalLock(path)
      if (taken !== undefined) return taken
    } catch (error) {
      throw unusable(error)
    }
    throw locked()
  })()
  try {
    try {
      start()
    } catch (error) {
      if (!isDamage(error)) throw error
      recover(error)
    }
  } catch (error) {
    closeQuietly(file)
    lock()
    throw isLocked(error) ? locked(error) : unusable(error)
  }

  function locked(cause?: unknown): RelayError {
    return new RelayError(
      'relay.journal.locked',
      `another process uses the journal in ${dataDir}: end that process, or give this one its own ENIGMA_DATA_DIR or ENIGMA_RELAY_ID`,
      { cause },
    )
  }
  function unusable(cause: unknown): RelayError {
    return new RelayError(
      'relay.journal.unusable',
      `the journal in ${dataDir} cannot be opened (${describe(cause)}): make the folder writable, free disk space, or set ENIGMA_DATA_DIR`,
      { cause },
    )
  }

  /** Does it; once more on a new file when this one turns out to be damaged. */
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
      throw new RelayError('relay.journal.unusable', `the journal cannot be ${what}: ${describe(error)}`, {
        cause: error,
      })
    }
  }

  return {
    write: (entries, settledRows, notes, ledger = {}) =>
      guarded('written', (to) => {
        let row = lastRow
        let removed = 0
        to.inTransaction(() => {
          for (const entry of entries) to.insert(++row, entry)
          for (const settled of settledRows) removed += to.remove(settled)
          for (const [name, value] of notes ?? []) to.note(name, value)
          for (const lost of ledger.add ?? []) to.addLost(lost)
          for (const lost of ledger.announced ?? []) to.removeLost(lost)
        })
        const rows = entries.map((_, at) => lastRow + 1 + at)
        lastRow = row
        rowCount += entries.length - removed
        try {
          to.shrink()
        } catch {
          // The batch is committed all the same, and what is wrong shows again when the file is used next.
        }
        return rows
      }),
    read: (route, afterRow, maxBytes) => guarded('read', (from) => from.read(route, afterRow, maxBytes)),
    oldest: (route, afterRow, limit) => guarded('read', (from) => from.oldest(route, afterRow, limit)),
    lost: () => guarded('read', (from) => from.lost()),
    routes: () => guarded('read', (from) => from.routes()),
    reroute: (known, to) =>
      guarded('written', (at) => {
        for (const name of at.routes()) if (!known.includes(name)) at.reroute(name, to)
      }),
    size: () => {
      try {
        usedBytes = guarded('read', (from) => from.usedBytes())
      } catch {
        // What is known from before.
      }
      return { rows: rowCount, bytes: usedBytes }
    },
    recoveries: () => recoveries,
    lostMs,
    noted: (name) => guarded('read', (from) => from.notes().get(name)),
    close: () => {
      closeQuietly(file)
      lock()
    },
  }
}

/** What cannot be closed was damaged, and everything in it that matters is committed. */
function closeQuietly(file: JournalFile | undefined): void {
  try {
    file?.close()
  } catch {
    // Closed already, or beyond closing.
  }
}
