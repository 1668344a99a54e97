import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe } from '../relay-error.ts'
import type { JournalOptions } from './journal.ts'
import {
  FORMER_TABLE,
  HEARD_TABLES,
  isDamage,
  journalPath,
  openJournalFile,
  quote,
  takeJournalLock,
  toRoute,
  type JournalFile,
} from './journal-file.ts'
import { toLost, toNote, toRow, type Found } from './journal-entry.ts'

/** How many row numbers are tried one by one where a scan fails. After that, only rows that can be reached from the end are copied. */
const MAX_LOOKS = 20_000

/** The files of a SQLite database in WAL mode. */
const ENDS = ['', '-wal', '-shm']

const draftOf = (path: string): string => `${path}.recovery`

/**
 * Copies the readable rows of a journal, damaged or of an older version, into a draft beside it, row by row. Then it moves the file aside and puts
 * the draft in its place. The file keeps its name until the draft is complete and on disk. If the process is killed at any point, the next start
 * either finds the file and begins again, or finds the complete draft and finishes.
 *
 * @param sourceIds of the relay: a possible loss is added to the ledger for each of them, and for each source that the journal names
 * @param expectedRows how many rows there were, where that is known
 */
export function recoverJournal(path: string, nowMs: number, sourceIds: readonly string[], expectedRows?: number) {
  removeFiles(draftOf(path))
  /** When the file was last written. */
  const writtenMs = Math.floor(statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? nowMs)
  const draft = openJournalFile(draftOf(path), true)
  let found: ReturnType<typeof copyReadable>
  try {
    found = draft.inTransaction(() => {
      const copied = copyReadable(path, draft, writtenMs)
      const { notes, saved, hole } = copied
      const heard = new Set([...sourceIds, ...[...notes.keys()].filter((name) => !name.startsWith('#'))])
      const lost = expectedRows === undefined || heard.size > 1 ? 0 : Math.max(0, expectedRows - saved)
      if (hole !== undefined && expectedRows !== saved)
        for (const sourceId of heard) draft.addLost({ sourceId, route: '', cause: 'journal_damaged', ...hole, lost })
      return copied
    })
  } finally {
    draft.close()
  }
  const aside = asideOf(path, nowMs)
  moveFiles(path, aside)
  renameSync(draftOf(path), path)
  return { ...found, aside, writtenMs }
}

/** Finishes an interrupted recovery, or undoes it so that it begins again. Call it before a journal is opened. */
export function resumeRecovery(path: string, nowMs: number): void {
  const draft = draftOf(path)
  if (!existsSync(draft)) return
  if (existsSync(path)) return removeFiles(draft)
  // The draft is complete, because the file is moved aside only after that. The file's write-ahead log may still be here, and must not be taken for
  // the draft's.
  moveFiles(path, latestAside(path) ?? asideOf(path, nowMs))
  renameSync(draft, path)
}

/** Copies the tables row by row, in order. After an unreadable page, it tries row numbers one by one to find the next readable row. */
function copyReadable(path: string, draft: JournalFile, writtenMs: number) {
  const notes = new Map<string, number>()
  const lastRows = new Map<string, number>()
  const holes: { fromMs?: number; toMs?: number }[] = []
  let firstMs = Number.POSITIVE_INFINITY
  let saved = 0
  let db: DatabaseSync | undefined
  let isCut = false
  /** Yields the rows of the statement until one cannot be read. `isCut` tells whether that happened. */
  function* rowsOf(sql: string, ...values: number[]): Generator<Found> {
    isCut = false
    try {
      if (db === undefined) {
        db = new DatabaseSync(path, { readOnly: true })
        // One transaction, because beginning one for each lookup would take longer than the lookup.
        db.exec('BEGIN')
      }
      const statement = db.prepare(sql)
      statement.setReadBigInts(true)
      yield* statement.iterate(...values)
    } catch {
      isCut = true
    }
  }
  const copyTable = (table: string): void => {
    const name = `${quote(table)} NOT INDEXED`
    let hole: (typeof holes)[number] | undefined
    let atMs: number | undefined
    let looks = 0
    let next = 1
    const keep = (found: Found) => {
      const isFormer = table === FORMER_TABLE
      const route = isFormer ? String(found['route']) : toRoute(table)
      const { row, entry } = toRow(found, route)
      if (!Number.isSafeInteger(row) || row < next) return
      const kept = isFormer ? (lastRows.get(route) ?? 0) + 1 : row
      draft.insert({ row: kept, entry })
      lastRows.set(route, kept)
      saved++
      if (hole !== undefined) hole.toMs = entry.timeMs
      hole = undefined
      atMs = entry.timeMs
      firstMs = Math.min(firstMs, atMs)
      looks = 0
      next = row + 1
    }
    for (;;) {
      // NOT INDEXED reads the table itself, even if its index is damaged.
      for (const found of rowsOf(`SELECT * FROM ${name} WHERE row >= ? ORDER BY row`, next)) keep(found)
      if (!isCut) return
      if (hole === undefined) holes.push((hole = atMs === undefined ? {} : { fromMs: atMs }))
      next++
      if (looks++ < MAX_LOOKS) continue
      looks = 0
      let first: number | undefined
      for (const found of rowsOf(`SELECT row FROM ${name} WHERE row >= ? ORDER BY row DESC`, next))
        first = Number(found['row'])
      if (first === undefined) return
      next = first
    }
  }

  for (const found of rowsOf('SELECT source, at FROM until'))
    for (const [name, value] of toNote(found)) {
      notes.set(name, value)
      draft.note(name, value)
    }
  for (const found of rowsOf('SELECT * FROM lost')) toLost(found).forEach(draft.addLost)
  // Losses that the journal had not announced yet may be missing.
  if (isCut) holes.push({})
  const tables = [...rowsOf(HEARD_TABLES)]
  if (isCut) holes.push({})
  for (const { name } of tables) copyTable(String(name))
  db?.[Symbol.dispose]()
  const toMs = Math.max(...holes.map((hole) => hole.toMs ?? writtenMs))
  const fromMs = Math.min(toMs, ...holes.map((hole) => hole.fromMs ?? firstMs))
  return { saved, notes, hole: holes.length > 0 ? { fromMs, toMs } : undefined }
}

const asideOf = (path: string, nowMs: number): string =>
  `${path}.damaged-${new Date(nowMs).toISOString().replaceAll(':', '')}`

/** Returns the newest of the files that were moved aside. Their names contain the time. */
function latestAside(path: string): string | undefined {
  const start = `${basename(path)}.damaged-`
  const asides = readdirSync(dirname(path)).filter((name) => name.startsWith(start) && !/-(wal|shm)$/.test(name))
  const latest = asides.toSorted().at(-1)
  return latest === undefined ? undefined : join(dirname(path), latest)
}

/** Moves the database file before its write-ahead log: as long as the database is at its old path, its log is there too. */
function moveFiles(from: string, to: string): void {
  for (const end of ENDS) if (existsSync(from + end)) renameSync(from + end, to + end)
}

export function removeFiles(path: string): void {
  for (const end of [...ENDS, '-journal']) rmSync(path + end, { force: true })
}

/**
 * Lets a relay without a journal take over the newest unused journal in its folder. A container that is recreated has another host name, and so
 * another relay id, but the notifications that the former one heard and did not send are on the volume. The journal of a running relay is locked and
 * stays. So does the journal of a relay with other sources, which announces their gaps when it is back.
 */
export function takeFormerJournal({ dataDir, relayId, sourceIds, log, now }: JournalOptions): void {
  const path = journalPath(dataDir, relayId)
  if (existsSync(path)) return
  // Includes a journal whose recovery was almost finished: its draft still has to be renamed.
  const names = readdirSync(dataDir).flatMap((name) => /^journal-.+\.db(?=$|\.recovery$)/.exec(name)?.[0] ?? [])
  const others = [...new Set(names)].map((name) => join(dataDir, name))
  const changedMs = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
  for (const other of others.toSorted((a, b) => changedMs(b) - changedMs(a))) {
    let unlock: (() => void) | undefined
    try {
      try {
        unlock = takeJournalLock(other)
        if (!existsSync(other)) resumeRecovery(other, now())
        if (!isOfSources(other)) continue
      } catch (error) {
        log.info(
          { code: 'relay.journal.not_taken', file: other, error: describe(error) },
          'The relay leaves the journal of another relay alone',
        )
        continue
      }
      takeOver(other)
      return log.warn(
        { code: 'relay.journal.taken_over', file: other, relayId },
        'The relay took over the journal of a relay with another id that is not running; set ENIGMA_RELAY_ID so that the id stays the same',
      )
    } finally {
      unlock?.()
    }
  }

  /**
   * Moves all files of the other journal, including damaged files that were moved aside and a draft. The database comes last: its name marks
   * that there is a journal.
   */
  function takeOver(other: string): void {
    const start = basename(other)
    rmSync(`${other}.lock`, { force: true })
    for (const name of readdirSync(dataDir))
      if (name.startsWith(start) && name !== start && name !== `${start}.lock`)
        renameSync(join(dataDir, name), path + name.slice(start.length))
    renameSync(other, path)
  }

  function isOfSources(file: string): boolean {
    try {
      const journal = openJournalFile(file)
      const heard = [...journal.notes().keys()].filter((name) => !name.startsWith('#'))
      journal.close()
      return heard.every((sourceId) => sourceIds.includes(sourceId))
    } catch (error) {
      // A damaged journal is recovered when it is opened next.
      if (isDamage(error)) return true
      throw error
    }
  }
}
