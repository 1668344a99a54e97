import { DatabaseSync } from 'node:sqlite'

/** A PubSub notification as it was heard, enough to make the same CloudEvent again. */
export type JournalEntry = {
  readonly route: string
  readonly sourceId: string
  readonly channel: string
  readonly number: number
  readonly index: number
  readonly timeMs: number
  readonly packet: Uint8Array
}

export type JournalRow = JournalEntry & { readonly row: number }

const SCHEMA = `
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS heard (
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  route TEXT NOT NULL, source TEXT NOT NULL, channel TEXT NOT NULL,
  number INTEGER NOT NULL, ix INTEGER NOT NULL, time INTEGER NOT NULL, packet BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS heard_by_route ON heard (route, row);
CREATE TABLE IF NOT EXISTS until (source TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
`

/** About what a row needs on disk: its texts and its packet, numbers, the entry of the index, its share of a page. */
const SIZE = '80 + 2 * length(route) + length(source) + length(channel) + length(packet)'

/** One SQLite file and its statements. Throws what SQLite throws. */
export function openJournalFile(file: string) {
  const db = new DatabaseSync(file)
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE')
    db.exec(SCHEMA)
    // The first write takes the lock that locking_mode then keeps.
    db.exec('BEGIN EXCLUSIVE; COMMIT')
  } catch (error) {
    db.close()
    throw error
  }
  const insert = db.prepare(
    'INSERT INTO heard (row, route, source, channel, number, ix, time, packet) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  )
  const remove = db.prepare('DELETE FROM heard WHERE row = ?')
  const select = db.prepare('SELECT * FROM heard WHERE route = ? AND row > ? ORDER BY row LIMIT ?')
  const oldest = db.prepare(
    `SELECT row, time, source, ${SIZE} AS size FROM heard WHERE route = ? AND row > ? ORDER BY row LIMIT ?`,
  )
  const count = db.prepare('SELECT count(*) AS rows FROM heard')
  const pages = db.prepare(
    'SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()',
  )
  const setNote = db.prepare(
    'INSERT INTO until (source, at) VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET at = excluded.at',
  )
  const getNotes = db.prepare('SELECT source, at FROM until')
  const update = db.prepare('UPDATE heard SET route = ? WHERE route = ?')
  const distinct = db.prepare('SELECT DISTINCT route FROM heard')
  const last = db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'heard'")

  return {
    inTransaction(work: () => void): void {
      db.exec('BEGIN')
      try {
        work()
        db.exec('COMMIT')
      } catch (error) {
        try {
          db.exec('ROLLBACK')
        } catch {
          // No transaction is open any more: SQLite has rolled back itself.
        }
        throw error
      }
    },
    insert: (row: number, e: JournalEntry) =>
      void insert.run(row, e.route, e.sourceId, e.channel, e.number, e.index, e.timeMs, e.packet),
    /** How many rows that were: 0 or 1. */
    remove: (row: number): number => Number(remove.run(row).changes),
    note: (name: string, value: number) => void setNote.run(name, value),
    notes: () => new Map(getNotes.all().map((r) => [String(r['source']), Number(r['at'])])),
    read: (route: string, afterRow: number, limit: number): JournalRow[] =>
      select.all(route, afterRow, limit).map(toRow),
    oldest: (route: string, afterRow: number, limit: number) =>
      oldest.all(route, afterRow, limit).map((r) => ({
        row: Number(r['row']),
        timeMs: Number(r['time']),
        sourceId: String(r['source']),
        bytes: Number(r['size']),
      })),
    countRows: () => Number(count.get()?.['rows'] ?? 0),
    usedBytes: () => Number(pages.get()?.['bytes'] ?? 0),
    routes: () => distinct.all().map((r) => String(r['route'])),
    reroute: (from: string, to: string) => void update.run(to, from),
    lastRow: () => Number(last.get()?.['seq'] ?? 0),
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

export function toRow(r: Readonly<Record<string, unknown>>): JournalRow {
  return {
    row: Number(r['row']),
    route: String(r['route']),
    sourceId: String(r['source']),
    channel: String(r['channel']),
    number: Number(r['number']),
    index: Number(r['ix']),
    timeMs: Number(r['time']),
    packet: r['packet'] as Uint8Array,
  }
}

/** SQLite's own words for a file that is damaged, or none of its files. Source: SQLITE_CORRUPT (11), SQLITE_NOTADB (26). */
export function isDamage(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  return code === 11 || code === 26
}
