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

/** The table of a route. No index and no AUTOINCREMENT: a notification then writes one page of the file, and settled ones go by ranges. */
const COLUMNS = `
  row INTEGER PRIMARY KEY, source TEXT NOT NULL, channel TEXT NOT NULL,
  number INTEGER NOT NULL, ix INTEGER NOT NULL, time INTEGER NOT NULL, packet BLOB NOT NULL
`

/**
 * A column that a table gets when it has an attempt to keep, in no time, and with 1 in every row that it has. So only where a server runs
 * the functions does an older version not know the file any more. Source: https://www.sqlite.org/lang_altertable.html#altertabaddcol
 */
const ATTEMPT = 'attempt INTEGER NOT NULL DEFAULT 1'

/** The table of all routes in a file of an older version. */
export const FORMER_TABLE = 'heard'

/** The former table last: a newer version left the others before it. */
export const HEARD_TABLES = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '${FORMER_TABLE}*' ORDER BY name DESC`

/** Table names are the same in upper and lower case, and another version may have routes of any name. */
const toTable = (route: string): string =>
  `${FORMER_TABLE} ${route.replace(/[^a-z0-9_-]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(4, '0')}`)}`

export const toRoute = (table: string): string =>
  table
    .slice(FORMER_TABLE.length + 1)
    .replace(/%([0-9a-f]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))

/** A table's name in SQL, whatever a damage made of it. */
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

/** Free space (bytes) that a file keeps: what comes and goes in a busy second. */
const SLACK_BYTES = 1024 * 1024

/** So many pages at once are given back to the file system, which takes some milliseconds, and then none for so long (ms). */
const MAX_RELEASED_PAGES = 1_024
const RELEASE_REST_MS = 200

/**
 * `auto_vacuum` counts only for a file that has no table yet. A checkpoint cuts the write-ahead log down to its limit, which is above the
 * 4 MB at which SQLite makes one: to cut it and let it grow each time took a third of the time.
 * Source: https://www.sqlite.org/pragma.html#pragma_auto_vacuum
 */
const SETTINGS = `
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = ${8 * SLACK_BYTES};
`

/** For a file that is worth nothing before it is whole: one transaction writes it, and waits for the disk at its end. */
const SETTINGS_OF_DRAFT = `
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = FULL;
`

/** Opens a SQLite file and prepares its statements. Throws what SQLite throws. */
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
  // A number that an older version wrote may be beyond what is a number here; as a BigInt it can be read, and repaired.
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
        // Some may have been made in it.
        tables.clear()
        try {
          db.exec('ROLLBACK')
        } catch {
          // No transaction is open any more: SQLite has rolled back itself.
        }
        throw error
      }
    },
    insert({ row, entry: e }: JournalRow): void {
      tableOf(e.route).insert.run(row, e.sourceId, e.channel, e.number, e.index, e.timeMs, e.packet)
      if (e.attempt !== undefined && e.attempt > 1) keepAttempt(e.route, row, e.attempt)
    },
    /** Does nothing when the row is gone. */
    keepAttempt,
    /** Returns how many rows there were. */
    remove: (route: string, first: number, last: number): number =>
      Number(tableOf(route).remove.run(first, last).changes),
    note: (name: string, value: number) => void setNote.run(name, value),
    notes: () => new Map(getNotes.all().flatMap(toNote)),
    addLost: (l: Lost) => void addLost.run(l.sourceId, l.route, l.cause, l.fromMs, l.toMs, l.lost),
    removeLost: (l: Lost) => void removeLost.run(l.sourceId, l.route, l.cause),
    lost: (): Lost[] => getLost.all().flatMap(toLost),
    /** At least one row, where there is one, and no more than fit into so many bytes of packets. */
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
    /** Gives some of the space that is free back to the file system. To be called often: it looks at the clock, and rests in between. */
    releaseFreePages(): void {
      if (performance.now() - releasedAt < RELEASE_REST_MS) return
      const isFree = freeBytes() > SLACK_BYTES
      if (isFree) db.exec(`PRAGMA incremental_vacuum(${MAX_RELEASED_PAGES})`)
      // The file itself becomes smaller when the write-ahead log has gone into it.
      else if (isReleasing) db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      isReleasing = isFree
      releasedAt = performance.now()
    },
    isSound: () =>
      db
        .prepare('PRAGMA quick_check(1)')
        .all()
        .every((r) => Object.values(r)[0] === 'ok'),
    /** Never throws: what cannot be closed was damaged, and everything in it that matters is committed. */
    close: () => db[Symbol.dispose](),
  }
}

export type JournalFile = ReturnType<typeof openJournalFile>

/** A primary result code. Source: https://www.sqlite.org/rescode.html */
const resultCodeOf = (error: unknown): number =>
  error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0

/** SQLite's own words for a file that is damaged, or none of its files: SQLITE_CORRUPT, SQLITE_NOTADB. */
export const isDamage = (error: unknown): boolean => [11, 26].includes(resultCodeOf(error))

/** Whether another process has it: SQLITE_BUSY, SQLITE_LOCKED. */
export const isLocked = (error: unknown): boolean => [5, 6].includes(resultCodeOf(error))

/**
 * Takes the right to a journal for this process, and returns how to give it back. SQLite locks the journal's own file as well, but not
 * while that is recovered or replaced. The lock ends with the process, whatever kills it. Throws what SQLite throws: see `isLocked`.
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
    // Something else wrote into it.
    rmSync(file)
    return takeJournalLock(journal)
  }
}
