import { DatabaseSync } from 'node:sqlite'
import { toLost, toNote, toRow, type JournalEntry, type JournalRow, type Lost } from './journal-row.ts'

const SCHEMA = `
CREATE TABLE IF NOT EXISTS heard (
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  route TEXT NOT NULL, source TEXT NOT NULL, channel TEXT NOT NULL,
  number INTEGER NOT NULL, ix INTEGER NOT NULL, time INTEGER NOT NULL, packet BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS heard_by_route ON heard (route, row);
CREATE TABLE IF NOT EXISTS until (source TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS lost (
  source TEXT NOT NULL, route TEXT NOT NULL, cause TEXT NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (source, route, cause)
) STRICT;
`

/** About what a row needs on disk: its texts and its packet, numbers, the entry of the index, its share of a page. */
const SIZE = '80 + 2 * length(route) + length(source) + length(channel) + length(packet)'

/** Free space (bytes) that a file keeps: what comes and goes in a busy second. */
const SLACK_BYTES = 1024 * 1024

/** A file that an older version made is rewritten as a whole to give space back, which takes some milliseconds up to this size. */
const REWRITTEN_BYTES = 4 * 1024 * 1024

/** Giving space back goes on for at most this long (ms) at once, and then rests. */
const SHRINK_MS = 20
const SHRINK_REST_MS = 200
const SHRINK_PAGES = 256

/**
 * `auto_vacuum` counts only for a file that has no table yet. After a checkpoint the write-ahead log is cut down to its limit.
 * Source: https://www.sqlite.org/pragma.html#pragma_auto_vacuum
 */
const SETTINGS = `
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = ${SLACK_BYTES};
`

/** For a file that nobody else sees before it is whole: what is in it is worth nothing until then. */
const SETTINGS_OF_DRAFT = `
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
`

/** One SQLite file and its statements. Throws what SQLite throws. */
export function openJournalFile(file: string, { isDraft = false }: { readonly isDraft?: boolean } = {}) {
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
  // A number that an older version wrote may be beyond what is a number here; as a BigInt it can be read, and put right.
  const prepareRead = (sql: string) => {
    const statement = db.prepare(sql)
    statement.setReadBigInts(true)
    return statement
  }
  const insert = db.prepare(
    `INSERT ${isDraft ? 'OR IGNORE ' : ''}INTO heard (row, route, source, channel, number, ix, time, packet) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const remove = db.prepare('DELETE FROM heard WHERE row = ?')
  const select = prepareRead('SELECT * FROM heard WHERE route = ? AND row > ? ORDER BY row')
  const oldest = prepareRead(
    `SELECT *, NULL AS packet, ${SIZE} AS size FROM heard WHERE route = ? AND row > ? ORDER BY row LIMIT ?`,
  )
  const count = db.prepare('SELECT count(*) AS rows FROM heard')
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
  const update = db.prepare('UPDATE heard SET route = ? WHERE route = ?')
  const distinct = db.prepare('SELECT DISTINCT route FROM heard')
  const last = db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'heard'")
  const canShrink = () => Object.values(db.prepare('PRAGMA auto_vacuum').get() ?? {})[0] === 2
  const space = () => {
    const { bytes, free } = pages.get() ?? {}
    return { usedBytes: Number(bytes ?? 0) - Number(free ?? 0), freeBytes: Number(free ?? 0) }
  }
  let shrinks = canShrink()
  let shrunkAt = Number.NEGATIVE_INFINITY
  let isShrinking = false

  return {
    inTransaction<T>(work: () => T): T {
      db.exec('BEGIN')
      try {
        const result = work()
        db.exec('COMMIT')
        return result
      } catch (error) {
        try {
          db.exec('ROLLBACK')
        } catch {
          // No transaction is open any more: SQLite has rolled back itself.
        }
        throw error
      }
    },
    /** How many rows that were: in a draft a row that is there is left as it is. */
    insert: (row: number, e: JournalEntry): number =>
      Number(insert.run(row, e.route, e.sourceId, e.channel, e.number, e.index, e.timeMs, e.packet).changes),
    /** How many rows that were: 0 or 1. */
    remove: (row: number): number => Number(remove.run(row).changes),
    note: (name: string, value: number) => void setNote.run(name, value),
    notes: () => new Map(getNotes.all().flatMap(toNote)),
    addLost: (l: Lost) => void addLost.run(l.sourceId, l.route, l.cause, l.fromMs, l.toMs, l.lost),
    removeLost: (l: Lost) => void removeLost.run(l.sourceId, l.route, l.cause),
    lost: (): Lost[] => getLost.all().flatMap(toLost),
    /** At least one row, where there is one, and no more than fit into so many bytes of packets. */
    read(route: string, afterRow: number, maxBytes: number): JournalRow[] {
      const rows: JournalRow[] = []
      let bytes = 0
      for (const found of select.iterate(route, afterRow)) {
        const row = toRow(found)
        bytes += row.packet.length
        if (rows.length > 0 && bytes > maxBytes) break
        rows.push(row)
      }
      return rows
    },
    oldest: (route: string, afterRow: number, limit: number) =>
      oldest.all(route, afterRow, limit).map((r) => ({ ...toRow(r), bytes: Number(r['size']) })),
    countRows: () => Number(count.get()?.['rows'] ?? 0),
    usedBytes: () => space().usedBytes,
    routes: () => distinct.all().map((r) => String(r['route'])),
    reroute: (from: string, to: string) => void update.run(to, from),
    lastRow: () => Number(last.get()?.['seq'] ?? 0),
    /** No row gets this number again, or a lower one. */
    keepLastRow(row: number): void {
      if (last.get() === undefined) db.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES ('heard', ?)").run(row)
      else db.prepare("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'heard'").run(row)
    },
    /** Whether nothing was ever written. */
    isVirgin: () => last.get() === undefined && getNotes.all().length === 0,
    /** Gives some of the space that is free back to the file system. To be called often: it looks at the clock, and rests in between. */
    shrink(): void {
      if (performance.now() - shrunkAt < SHRINK_REST_MS) return
      const from = (shrunkAt = performance.now())
      let { usedBytes, freeBytes } = space()
      if (freeBytes > SLACK_BYTES) {
        isShrinking = true
        if (!shrinks && usedBytes <= REWRITTEN_BYTES) {
          db.exec('VACUUM')
          shrinks = canShrink()
          ;({ usedBytes, freeBytes } = space())
        }
      }
      if (shrinks)
        while (freeBytes > SLACK_BYTES && performance.now() - from < SHRINK_MS) {
          db.exec(`PRAGMA incremental_vacuum(${SHRINK_PAGES})`)
          ;({ usedBytes, freeBytes } = space())
        }
      // The file itself becomes smaller when the write-ahead log has gone into it.
      if (isShrinking && freeBytes <= SLACK_BYTES) {
        db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
        isShrinking = false
      }
      shrunkAt = performance.now()
    },
    /** Whether SQLite finds the file sound. */
    isSound: () =>
      db
        .prepare('PRAGMA quick_check(1)')
        .all()
        .every((r) => Object.values(r)[0] === 'ok'),
    close: () => db.close(),
  }
}

export type JournalFile = ReturnType<typeof openJournalFile>

/** SQLite's own words for a file that is damaged, or none of its files. Source: SQLITE_CORRUPT (11), SQLITE_NOTADB (26). */
export function isDamage(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  return code === 11 || code === 26
}
