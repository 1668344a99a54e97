import { DatabaseSync } from 'node:sqlite'
import { toRow, type JournalRow } from './journal-file.ts'

/** So many rows are looked for one by one where no scan gets through. */
const MOST_LOOKS = 1_000_000

export type Salvaged = {
  readonly rows: readonly JournalRow[]
  readonly notes: ReadonlyMap<string, number>
  readonly lastRow: number
}

/**
 * What can be read of a damaged journal: from the first row on until a page cannot be read, from the last one back, and between
 * them row by row. Never throws: of a file that is no database nothing can be read.
 */
export function salvage(file: string): Salvaged {
  const rows = new Map<number, JournalRow>()
  const notes = new Map<string, number>()
  let lastRow = 0
  let db: DatabaseSync | undefined
  const trying = (work: (db: DatabaseSync) => void) => {
    try {
      db ??= new DatabaseSync(file)
      work(db)
    } catch {
      // This way there is nothing more to be had.
    }
  }
  const keep = (found: Readonly<Record<string, unknown>>) => {
    const row = toRow(found)
    if (Number.isSafeInteger(row.row) && Number.isSafeInteger(row.number) && row.packet instanceof Uint8Array)
      rows.set(row.row, row)
    return row.row
  }

  trying((open) => {
    for (const found of open.prepare('SELECT source, at FROM until').iterate())
      notes.set(String(found['source']), Number(found['at']))
  })
  trying((open) => {
    lastRow = Number(open.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'heard'").get()?.['seq'] ?? 0)
  })
  let from = 0
  let to = lastRow + 1
  // NOT INDEXED: the table itself, whatever became of its index.
  trying((open) => {
    for (const found of open.prepare('SELECT * FROM heard NOT INDEXED ORDER BY row').iterate()) from = keep(found)
    to = from
  })
  if (from < to) {
    trying((open) => {
      for (const found of open.prepare('SELECT * FROM heard NOT INDEXED WHERE row > ? ORDER BY row DESC').iterate(from))
        to = keep(found)
    })
  }
  for (let row = from + 1; row < Math.min(to, from + MOST_LOOKS); row++) {
    trying((open) => {
      const found = open.prepare('SELECT * FROM heard NOT INDEXED WHERE row = ?').get(row)
      if (found !== undefined) keep(found)
    })
  }
  trying((open) => open.close())
  const sorted = [...rows.values()].toSorted((a, b) => a.row - b.row)
  return { rows: sorted, notes, lastRow: Math.max(lastRow, sorted.at(-1)?.row ?? 0) }
}
