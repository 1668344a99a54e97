import { rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { isDamage } from './journal-file.ts'

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

/** Whether another process has it. Source: SQLITE_BUSY (5), SQLITE_LOCKED (6). */
export function isLocked(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  return code === 5 || code === 6
}
