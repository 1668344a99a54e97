import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { toLost, toNote, toRow, type JournalRow, type Lost } from './journal-entry.ts'

export const journalPath = (dataDir: string, relayId: string): string => join(dataDir, `journal-${relayId}.db`)

const SCHEMA = `
CREATE TABLE IF NOT EXISTS until (source TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS lost (
  source TEXT NOT NULL, route TEXT NOT NULL, cause TEXT NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (source, route, cause)
) STRICT;
`

/**
 * The table of a route. It has no index and no AUTOINCREMENT: a notification then writes one page of the file, and settled rows are deleted as
 * ranges.
 */
const COLUMNS = `
  row INTEGER PRIMARY KEY, source TEXT NOT NULL, channel TEXT NOT NULL,
  number INTEGER NOT NULL, ix INTEGER NOT NULL, time INTEGER NOT NULL, packet BLOB NOT NULL
`

/**
 * Added to a table when it first has an attempt to keep. Adding a column takes no time and gives existing rows the value 1. An older version can
 * therefore open the file unless a server that runs functions has asked for another attempt. Source:
 * https://www.sqlite.org/lang_altertable.html#altertabaddcol
 */
const ATTEMPT = 'attempt INTEGER NOT NULL DEFAULT 1'

/** The table of all routes in a file of an older version. */
export const FORMER_TABLE = 'heard'

/** The former table comes last: its rows were written after the rows in the tables of a newer version. */
export const HEARD_TABLES = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '${FORMER_TABLE}*' ORDER BY name DESC`

/** Table names are case-insensitive, and another version may have routes of any name. */
const toTable = (route: string): string =>
  `${FORMER_TABLE} ${route.replace(/[^a-z0-9_-]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(4, '0')}`)}`

export const toRoute = (table: string): string =>
  table
    .slice(FORMER_TABLE.length + 1)
    .replace(/%([0-9a-f]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))

/** Quotes a table's name for SQL. A damaged file may contain any name. */
export const quote = (table: string): string => `"${table.replaceAll('"', '""')}"`

/** The columns that every table has, in the order in which they are written. */
const NAMES = 'row, source, channel, number, ix, time, packet'

/** Counts the notifications in a journal of this or an older version, table by table. */
export function countRows(db: DatabaseSync) {
  const tables = db.prepare(HEARD_TABLES).all()
  return tables.map(({ name }) => {
    const table = String(name)
    const found = db.prepare(`SELECT count(*) AS rows, max(row) AS last FROM ${quote(table)}`).get()
    const [rows, lastRow] = [Number(found?.['rows']), Number(found?.['last'])]
    return { isFormer: table === FORMER_TABLE, route: toRoute(table), rows, lastRow }
  })
}

/** The free space (bytes) that the file keeps: about the traffic of a busy second. */
const SLACK_BYTES = 1024 * 1024

/** The maximum number of free pages returned to the file system at once, which takes some milliseconds, and the pause (ms) after it. */
const MAX_RELEASED_PAGES = 1_024
const RELEASE_REST_MS = 200

/**
 * SQLite applies `auto_vacuum` only to a file that has no table yet. A checkpoint truncates the write-ahead log to its size limit. The limit is above
 * the 4 MB at which SQLite makes a checkpoint, because truncating and regrowing the log each time took a third of the time. Source:
 * https://www.sqlite.org/pragma.html#pragma_auto_vacuum
 */
const SETTINGS = `
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = ${8 * SLACK_BYTES};
`

/** The settings of a draft, which is worthless until it is complete: one transaction writes it, and waits for the disk at its end. */
const SETTINGS_OF_DRAFT = `
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = FULL;
`

/** Opens a SQLite file and prepares its statements. @throws what SQLite throws */
export function openJournalFile(file: string, isDraft = false) {
  const db = new DatabaseSync(file)
  try {
    db.exec(isDraft ? SETTINGS_OF_DRAFT : SETTINGS)
    db.exec(SCHEMA)
    // The first write takes the lock that locking_mode then keeps.
    db.exec('BEGIN EXCLUSIVE; COMMIT')
  } catch (error) {
    db.close()
    throw error
  }
  // A number that an older version wrote may exceed the safe integers. As a BigInt it can be read, and then repaired.
  const prepareRead = (sql: string) => {
    const statement = db.prepare(sql)
    statement.setReadBigInts(true)
    return statement
  }
  const prepareTable = (route: string) => {
    const name = quote(toTable(route))
    db.exec(`CREATE TABLE IF NOT EXISTS ${name} (${COLUMNS}) STRICT`)
    const hasAttempt = db
      .prepare(`PRAGMA table_info(${name})`)
      .all()
      .some((column) => column['name'] === 'attempt')
    return {
      name,
      keepAttempt: hasAttempt ? db.prepare(`UPDATE ${name} SET attempt = ? WHERE row = ?`) : undefined,
      insert: db.prepare(`INSERT INTO ${name} (${NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?)`),
      remove: db.prepare(`DELETE FROM ${name} WHERE row BETWEEN ? AND ?`),
      select: prepareRead(`SELECT * FROM ${name} WHERE row > ? ORDER BY row`),
    }
  }
  const tables = new Map<string, ReturnType<typeof prepareTable>>()
  const tableOf = (route: string) => {
    const table = tables.get(route) ?? prepareTable(route)
    tables.set(route, table)
    return table
  }
  const keepAttempt = (route: string, row: number, attempt: number): void => {
    const { name, keepAttempt: update } = tableOf(route)
    if (update === undefined) {
      db.exec(`ALTER TABLE ${name} ADD COLUMN ${ATTEMPT}`)
      tables.delete(route)
    }
    tableOf(route).keepAttempt?.run(attempt, row)
  }
  const pages = db.prepare(
    'SELECT page_count * page_size AS bytes, freelist_count * page_size AS free FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()',
  )
  const setNote = db.prepare(
    'INSERT INTO until (source, at) VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET at = excluded.at',
  )
  const getNotes = prepareRead('SELECT source, at FROM until')
  const addLost = db.prepare(
    `INSERT INTO lost (source, route, cause, first, last, count) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last), count = count + excluded.count`,
  )
  const removeLost = db.prepare('DELETE FROM lost WHERE source = ? AND route = ? AND cause = ?')
  const getLost = prepareRead('SELECT * FROM lost ORDER BY first')
  const freeBytes = () => Number(pages.get()?.['free'] ?? 0)
  let releasedAt = Number.NEGATIVE_INFINITY
  let isReleasing = false

  return {
    inTransaction<T>(work: () => T): T {
      db.exec('BEGIN')
      try {
        const result = work()
        db.exec('COMMIT')
        return result
      } catch (error) {
        // Tables that this transaction created no longer exist.
        tables.clear()
        try {
          db.exec('ROLLBACK')
        } catch {
          // No transaction is open: SQLite has already rolled back.
        }
        throw error
      }
    },
    insert({ row, entry: e }: JournalRow): void {
      tableOf(e.route).insert.run(row, e.sourceId, e.channel, e.number, e.index, e.timeMs, e.packet)
      if (e.attempt !== undefined && e.attempt > 1) keepAttempt(e.route, row, e.attempt)
    },
    /** Does nothing when the row no longer exists. */
    keepAttempt,
    /** Returns how many rows were deleted. */
    remove: (route: string, first: number, last: number): number =>
      Number(tableOf(route).remove.run(first, last).changes),
    note: (name: string, value: number) => void setNote.run(name, value),
    notes: () => new Map(getNotes.all().flatMap(toNote)),
    addLost: (l: Lost) => void addLost.run(l.sourceId, l.route, l.cause, l.fromMs, l.toMs, l.lost),
    removeLost: (l: Lost) => void removeLost.run(l.sourceId, l.route, l.cause),
    lost: (): Lost[] => getLost.all().flatMap(toLost),
    /** Reads at least one row, if there is one, and no more than fit into `maxBytes` of packets. */
    read(route: string, afterRow: number, maxBytes: number): JournalRow[] {
      const rows: JournalRow[] = []
      let bytes = 0
      for (const found of tableOf(route).select.iterate(afterRow)) {
        const row = toRow(found, route)
        bytes += row.entry.packet.length
        if (rows.length > 0 && bytes > maxBytes) break
        rows.push(row)
      }
      return rows
    },
    countRows: () => countRows(db),
    usedBytes: () => Number(pages.get()?.['bytes'] ?? 0) - freeBytes(),
    /** Returns some free pages of the file to the file system. Call it often: it pauses between two returns. */
    releaseFreePages(): void {
      if (performance.now() - releasedAt < RELEASE_REST_MS) return
      const isFree = freeBytes() > SLACK_BYTES
      if (isFree) db.exec(`PRAGMA incremental_vacuum(${MAX_RELEASED_PAGES})`)
      // The file itself becomes smaller when the write-ahead log is written into it.
      else if (isReleasing) db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      isReleasing = isFree
      releasedAt = performance.now()
    },
    isSound: () => Object.values(db.prepare('PRAGMA quick_check(1)').get() ?? {})[0] === 'ok',
    /** Never throws. A file that cannot be closed was damaged, and every transaction that matters is committed. */
    close: () => db[Symbol.dispose](),
  }
}

export type JournalFile = ReturnType<typeof openJournalFile>

/** Returns the primary result code. Source: https://www.sqlite.org/rescode.html */
const resultCodeOf = (error: unknown): number =>
  error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0

/** Whether SQLite reports a damaged file, or one that is not a database: SQLITE_CORRUPT, SQLITE_NOTADB. */
export const isDamage = (error: unknown): boolean => [11, 26].includes(resultCodeOf(error))

/** Whether another process has locked the file: SQLITE_BUSY, SQLITE_LOCKED. */
export const isLocked = (error: unknown): boolean => [5, 6].includes(resultCodeOf(error))

/**
 * Locks a journal for this process. Returns a function that releases the lock. SQLite locks the journal's own file as well, but not while that file
 * is recovered or replaced. The lock ends with the process, even on `kill -9`. @throws what SQLite throws: see `isLocked`
 */
export function takeJournalLock(journal: string): () => void {
  const file = `${journal}.lock`
  const db = new DatabaseSync(file)
  try {
    // Nothing is ever written: the file stays empty.
    db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return () => db.close()
  } catch (error) {
    db.close()
    if (!isDamage(error)) throw error
    // Another program wrote into the lock file.
    rmSync(file)
    return takeJournalLock(journal)
  }
}
