import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs'
import type { Logger } from '../runtime/index.ts'
import { describe, RelayError } from './errors.ts'
import { isDamage, openJournalFile, type JournalEntry, type JournalFile, type JournalRow } from './journal-file.ts'
import { journalPath, takeFormerJournal } from './journal-former.ts'
import { salvage } from './journal-salvage.ts'

export type { JournalEntry, JournalRow } from './journal-file.ts'

/**
 * PubSub notifications on disk until SQS has accepted them. SQLite in WAL mode with `synchronous = NORMAL`: what was committed
 * survives the death of the process (https://www.sqlite.org/pragma.html#pragma_synchronous); one transaction holds all that came
 * in one turn of the event loop. A file that turns out to be damaged is put aside, and what can be read of it is taken over.
 */
export type Journal = {
  /** Writes, forgets and notes in one transaction. Returns the rows of the entries, in order. Throws `relay.journal.unusable`. */
  write: (
    entries: readonly JournalEntry[],
    settledRows: readonly number[],
    notes?: ReadonlyMap<string, number>,
  ) => number[]
  /** Up to `limit` rows of a route behind `afterRow`, in the order heard. Throws `relay.journal.unusable`. */
  read: (route: string, afterRow: number, limit: number) => JournalRow[]
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

/** Opens the journal of a relay and keeps it for this process alone. @throws RelayError `relay.journal.locked`, `relay.journal.unusable` */
export function openJournal({ dataDir, relayId, sourceIds, log, now }: JournalOptions): Journal {
  const path = journalPath(dataDir, relayId)
  let lastRow = 0
  let rowCount = 0
  let lostMs: number | undefined

  const open = (): JournalFile => {
    const file = openJournalFile(path)
    rowCount = file.countRows()
    lastRow = Math.max(lastRow, file.lastRow())
    return file
  }

  /** Puts the file aside and takes over what can be read of it, with the same row numbers. */
  const recover = (cause: unknown): JournalFile => {
    const aside = `${path}.damaged-${new Date(now()).toISOString().replaceAll(':', '')}`
    const writtenMs = Math.floor(statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now())
    for (const end of ['', '-wal', '-shm']) if (existsSync(path + end)) renameSync(path + end, aside + end)
    const { rows, notes, lastRow: highest } = salvage(aside)
    lastRow = Math.max(lastRow, highest)
    const file = openJournalFile(path)
    file.inTransaction(() => {
      for (const { row, ...entry } of rows) file.insert(row, entry)
      for (const [name, value] of notes) file.note(name, value)
    })
    rowCount = file.countRows()
    if (notes.size === 0) lostMs = writtenMs
    log.error(
      { code: 'relay.journal.damaged', file: aside, saved: rows.length, error: describe(cause) },
      'The journal file was damaged. The relay moved it aside and continues with the rows that could be read; check the disk',
    )
    return file
  }

  const start = (): JournalFile => {
    let file: JournalFile | undefined
    try {
      mkdirSync(dataDir, { recursive: true })
      takeFormerJournal(dataDir, relayId, sourceIds, log)
      file = open()
      if (file.usedBytes() > CHECKED_BYTES || file.isSound()) return file
      file.close()
      return recover(new Error('SQLite finds it damaged'))
    } catch (error) {
      if (isDamage(error)) {
        closeQuietly(file)
        return recover(error)
      }
      throw error
    }
  }

  let file: JournalFile
  try {
    file = start()
  } catch (error) {
    if (/locked|busy/i.test(describe(error))) {
      throw new RelayError(
        'relay.journal.locked',
        `another process uses the journal in ${dataDir}: end it, or set ENIGMA_DATA_DIR or ENIGMA_RELAY_ID to something of its own`,
        { cause: error },
      )
    }
    throw new RelayError(
      'relay.journal.unusable',
      `the journal in ${dataDir} cannot be opened (${describe(error)}): make the folder writable, or set ENIGMA_DATA_DIR`,
      { cause: error },
    )
  }

  /** Does it; once more on a new file when this one turns out to be damaged. */
  const guarded = <T>(what: string, work: () => T): T => {
    try {
      try {
        return work()
      } catch (error) {
        if (!isDamage(error)) throw error
        closeQuietly(file)
        file = recover(error)
        return work()
      }
    } catch (error) {
      throw new RelayError('relay.journal.unusable', `the journal cannot be ${what}: ${describe(error)}`, {
        cause: error,
      })
    }
  }

  return {
    write: (entries, settledRows, notes) =>
      guarded('written', () => {
        let row = lastRow
        let removed = 0
        file.inTransaction(() => {
          for (const entry of entries) file.insert(++row, entry)
          for (const settled of settledRows) removed += file.remove(settled)
          for (const [name, value] of notes ?? []) file.note(name, value)
        })
        const rows = entries.map((_, at) => lastRow + 1 + at)
        lastRow = row
        rowCount += entries.length - removed
        return rows
      }),
    read: (route, afterRow, limit) => guarded('read', () => file.read(route, afterRow, limit)),
    oldest: (route, afterRow, limit) => guarded('read', () => file.oldest(route, afterRow, limit)),
    routes: () => guarded('read', () => file.routes()),
    reroute: (known, to) =>
      guarded('written', () => {
        for (const name of file.routes()) if (!known.includes(name)) file.reroute(name, to)
      }),
    size: () => ({ rows: rowCount, bytes: guarded('read', () => file.usedBytes()) }),
    lostMs,
    noted: (name) => guarded('read', () => file.notes().get(name)),
    close: () => closeQuietly(file),
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
