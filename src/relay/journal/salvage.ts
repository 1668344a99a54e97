import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { openJournalFile, type JournalFile } from './journal-file.ts'
import { toLost, toNote, toRow, type JournalRow } from './journal-row.ts'

/** So many rows are looked for one by one where no scan gets through; then only what can be reached from the end is taken. */
const MOST_LOOKS = 1_000_000

/** The files of a SQLite database in WAL mode. */
const ENDS = ['', '-wal', '-shm']

const draftOf = (path: string): string => `${path}.recovery`

export type Recovered = {
  /** Where the damaged file is now. */
  readonly aside: string
  readonly saved: number
  readonly notes: ReadonlyMap<string, number>
  readonly lastRow: number
  /** When (ms) the damaged file was written last. */
  readonly writtenMs: number
  /** Where rows may be missing: between these times (ms), and how many at most. */
  readonly hole: { readonly fromMs: number; readonly toMs: number; readonly mostRows: number }
}

/**
 * Copies what can be read of a damaged journal into a draft beside it, row by row, with the same row numbers; then puts the damaged file
 * aside, and the draft in its place. The damaged file keeps its name until the draft is whole and on disk, so whatever kills the process
 * in between, the next start finds either the damaged file, to begin again, or the whole draft, to finish.
 *
 * @param complete writes what else belongs into the new journal, before it counts
 */
export function recoverJournal(
  path: string,
  nowMs: number,
  complete: (draft: JournalFile, found: Omit<Recovered, 'aside'>) => void,
): Recovered {
  const draftPath = draftOf(path)
  removeFiles(draftPath)
  const writtenMs = Math.floor(statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? nowMs)
  const draft = openJournalFile(draftPath, { isDraft: true })
  const found = (() => {
    try {
      return draft.inTransaction(() => {
        const copied = { ...copyReadable(path, draft, writtenMs), writtenMs }
        complete(draft, copied)
        return copied
      })
    } finally {
      draft.close()
    }
  })()
  const handle = openSync(draftPath, 'r')
  fsyncSync(handle)
  closeSync(handle)
  const aside = asideOf(path, nowMs)
  moveFiles(path, aside)
  renameSync(draftPath, path)
  return { ...found, aside }
}

/**
 * To be called before a journal is opened: finishes or undoes a recovery that did not end. Returns whether the journal is to be recovered
 * (again).
 */
export function resumeRecovery(path: string, nowMs: number): boolean {
  const draft = draftOf(path)
  if (existsSync(path)) {
    const wasUnderWay = existsSync(draft)
    removeFiles(draft)
    return wasUnderWay
  }
  if (existsSync(draft)) {
    // Whole, for only then is the damaged file put aside. Its write-ahead log may still be here, and must not be taken for the draft's.
    moveFiles(path, latestAside(path) ?? asideOf(path, nowMs))
    renameSync(draft, path)
    return false
  }
  return takeBack(path)
}

/** A former version put the file aside before it saved anything: what it did not finish begins again. Returns whether there was such a file. */
export function takeBack(path: string): boolean {
  const aside = latestAside(path)
  if (aside === undefined) return false
  removeFiles(path)
  moveFiles(aside, path)
  return true
}

/** Copies row by row, in their order. Behind a page that cannot be read, the next row that can be is looked for one by one. */
function copyReadable(path: string, draft: JournalFile, writtenMs: number) {
  const notes = new Map<string, number>()
  let saved = 0
  let lastRow = 0
  let db: DatabaseSync | undefined
  /** The statement's rows; undefined at the end stands for what cannot be read. */
  function* rowsOf(sql: string, ...values: number[]): Generator<Readonly<Record<string, unknown>> | undefined> {
    try {
      db ??= new DatabaseSync(path, { readOnly: true })
      const statement = db.prepare(sql)
      statement.setReadBigInts(true)
      const rows = statement.iterate(...values)
      for (;;) {
        const next = rows.next()
        if (next.done === true) return
        yield next.value
      }
    } catch {
      yield undefined
    }
  }
  const keep = ({ row, ...entry }: JournalRow) => {
    if (!Number.isSafeInteger(row) || row <= 0) return
    saved += draft.insert(row, entry)
    lastRow = Math.max(lastRow, row)
  }

  for (const found of rowsOf('SELECT source, at FROM until'))
    for (const [name, value] of found === undefined ? [] : toNote(found)) {
      notes.set(name, value)
      draft.note(name, value)
    }
  for (const found of rowsOf('SELECT * FROM lost')) {
    for (const lost of found === undefined ? [] : toLost(found)) draft.addLost(lost)
  }
  for (const found of rowsOf("SELECT seq FROM sqlite_sequence WHERE name = 'heard'"))
    if (Number.isSafeInteger(Number(found?.['seq']))) lastRow = Number(found?.['seq'])

  for (const found of rowsOf('SELECT row FROM heard NOT INDEXED ORDER BY row DESC LIMIT 1'))
    if (Number.isSafeInteger(Number(found?.['row']))) lastRow = Math.max(lastRow, Number(found?.['row']))

  let at = 0
  let atMs: number | undefined
  const hole = { fromMs: undefined as number | undefined, toMs: undefined as number | undefined, mostRows: 0 }
  const take = (row: JournalRow) => {
    if (row.row <= at) return
    keep(row)
    if (hole.mostRows > 0) hole.toMs ??= row.timeMs
    ;[at, atMs] = [row.row, row.timeMs]
  }
  /** So many rows cannot be read here. */
  const miss = (rows: number) => {
    if (hole.mostRows === 0) hole.fromMs = atMs
    hole.mostRows += rows
    hole.toMs = undefined
  }
  for (let looks = 0, isThrough = false; !isThrough;) {
    isThrough = true
    // NOT INDEXED: the table itself, whatever became of its index. Rows are written in their order, or the draft would be slow and large.
    for (const found of rowsOf('SELECT * FROM heard NOT INDEXED WHERE row > ? ORDER BY row', at)) {
      if (found === undefined) isThrough = false
      else take(toRow(found))
    }
    const from = at
    for (let row = at + 1; row <= lastRow; row++) {
      // `take` moves `at`: from there on the table can be read again.
      if (isThrough || at !== from) break
      if (looks++ === MOST_LOOKS) row = jumpFrom(row)
      else if (looks > MOST_LOOKS) break
      for (const found of rowsOf('SELECT * FROM heard NOT INDEXED WHERE row = ?', row)) {
        if (found === undefined) miss(1)
        else take(toRow(found))
      }
    }
    isThrough ||= at === from
  }
  try {
    db?.close()
  } catch {
    // It was damaged.
  }
  if (lastRow === 0) return { saved, notes, lastRow, hole: { fromMs: writtenMs, toMs: writtenMs, mostRows: Infinity } }
  const toMs = hole.toMs ?? writtenMs
  return { saved, notes, lastRow, hole: { ...hole, fromMs: Math.min(hole.fromMs ?? toMs, toMs), toMs } }

  /** The first row behind this one that can be reached from the end. */
  function jumpFrom(row: number): number {
    let first = lastRow + 1
    for (const found of rowsOf('SELECT row FROM heard NOT INDEXED WHERE row >= ? ORDER BY row DESC', row))
      if (found !== undefined) first = Number(found['row'])
    miss(first - row)
    return first
  }
}

const asideOf = (path: string, nowMs: number): string =>
  `${path}.damaged-${new Date(nowMs).toISOString().replaceAll(':', '')}`

/** Whether a damaged file was ever put aside here. */
export const hasAside = (path: string): boolean => latestAside(path) !== undefined

/** The youngest of the files that were put aside: their names tell the time. */
function latestAside(path: string): string | undefined {
  const start = `${basename(path)}.damaged-`
  const [latest] = readdirSync(dirname(path))
    .filter((name) => name.startsWith(start) && !/-(wal|shm)$/.test(name))
    .toSorted()
    .toReversed()
  return latest === undefined ? undefined : join(dirname(path), latest)
}

/** The database itself first: while it has its name, its log belongs to it. */
function moveFiles(from: string, to: string): void {
  for (const end of ENDS) if (existsSync(from + end)) renameSync(from + end, to + end)
}

function removeFiles(path: string): void {
  for (const end of [...ENDS, '-journal']) rmSync(path + end, { force: true })
}
