import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, RelayError } from './errors.ts'

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

/**
 * PubSub notifications on disk until SQS has accepted them. SQLite in WAL mode with `synchronous = NORMAL`: what was committed
 * survives the death of the process (https://www.sqlite.org/pragma.html#pragma_synchronous); one transaction holds all that came
 * in one turn of the event loop.
 */
export type Journal = {
  /** Writes and forgets in one transaction. Returns the rows of the entries, in order. Throws `journal_unusable`. */
  write: (entries: readonly JournalEntry[], settledRows: readonly number[]) => number[]
  /** Up to `limit` rows of a route behind `afterRow`, in the order heard. */
  read: (route: string, afterRow: number, limit: number) => JournalRow[]
  /** The routes that have rows. */
  routes: () => string[]
  /** Gives the rows of routes that are not among these (an older version's) to this route. */
  reroute: (known: readonly string[], to: string) => void
  /** How many rows there are; bytes of the file that are in use. */
  size: () => { rows: number; bytes: number }
  /** Until when (ms) a source was heard, as noted by `noteHeard`. */
  lastHeard: (sourceId: string) => number | undefined
  noteHeard: (sourceId: string, atMs: number) => void
  close: () => void
}

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

/** Opens the journal of a relay and keeps it for this process alone. @throws RelayError `journal_locked`, `journal_unusable` */
export function openJournal(dataDir: string, relayId: string): Journal {
  const file = join(dataDir, `journal-${relayId}.db`)
  let db: DatabaseSync
  try {
    mkdirSync(dataDir, { recursive: true })
    db = new DatabaseSync(file)
    db.exec('PRAGMA locking_mode = EXCLUSIVE')
    db.exec(SCHEMA)
    // The first write takes the lock that locking_mode then keeps.
    db.exec('BEGIN EXCLUSIVE; COMMIT')
  } catch (error) {
    if (/locked|busy/i.test(describe(error))) {
      throw new RelayError('journal_locked', `another process uses the journal in ${dataDir}: end it, or set ENIGMA_DATA_DIR or ENIGMA_RELAY_ID to something of its own`, { cause: error })
    }
    throw new RelayError('journal_unusable', `the journal in ${dataDir} cannot be opened (${describe(error)}): make the folder writable, or set ENIGMA_DATA_DIR`, { cause: error })
  }
  const insert = db.prepare('INSERT INTO heard (route, source, channel, number, ix, time, packet) VALUES (?, ?, ?, ?, ?, ?, ?)')
  const remove = db.prepare('DELETE FROM heard WHERE row = ?')
  const select = db.prepare('SELECT * FROM heard WHERE route = ? AND row > ? ORDER BY row LIMIT ?')
  const count = db.prepare('SELECT count(*) AS rows FROM heard')
  const pages = db.prepare('SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()')
  const getUntil = db.prepare('SELECT at FROM until WHERE source = ?')
  const setUntil = db.prepare('INSERT INTO until (source, at) VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET at = excluded.at')
  const update = db.prepare('UPDATE heard SET route = ? WHERE route = ?')
  const distinct = db.prepare('SELECT DISTINCT route FROM heard')

  return {
    write(entries, settledRows) {
      try {
        db.exec('BEGIN')
        const rows = entries.map((e) => Number(insert.run(e.route, e.sourceId, e.channel, e.number, e.index, e.timeMs, e.packet).lastInsertRowid))
        for (const row of settledRows) remove.run(row)
        db.exec('COMMIT')
        return rows
      } catch (error) {
        try {
          db.exec('ROLLBACK')
        } catch {
          // No transaction is open any more: SQLite has rolled back itself.
        }
        throw new RelayError('journal_unusable', `the journal cannot be written: ${describe(error)}`, { cause: error })
      }
    },
    read: (route, afterRow, limit) =>
      select.all(route, afterRow, limit).map((r) => ({
        row: Number(r['row']), route, sourceId: String(r['source']), channel: String(r['channel']), number: Number(r['number']),
        index: Number(r['ix']), timeMs: Number(r['time']), packet: r['packet'] as Uint8Array,
      })),
    routes: () => distinct.all().map((r) => String(r['route'])),
    reroute: (known, to) => {
      for (const name of distinct.all().map((r) => String(r['route']))) if (!known.includes(name)) update.run(to, name)
    },
    size: () => ({ rows: Number(count.get()?.['rows']), bytes: Number(pages.get()?.['bytes']) }),
    lastHeard: (sourceId) => {
      const at = getUntil.get(sourceId)?.['at']
      return at === undefined ? undefined : Number(at)
    },
    noteHeard: (sourceId, atMs) => void setUntil.run(sourceId, atMs),
    close: () => db.close(),
  }
}
