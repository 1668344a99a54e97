import { randomInt } from 'node:crypto'
import type { Journal } from './journal.ts'

/** Source ids have no `#`. */
const ID_NOTE = '#journal'

/**
 * Reads the id that no other journal has; makes it when the journal is first opened. One process at a time holds a journal, so another
 * process that had this id is gone. Undefined when it cannot be written, as on a full disk.
 */
export function readJournalId(journal: Journal): number | undefined {
  const known = journal.noted(ID_NOTE)
  if (known !== undefined) return known
  const id = randomInt(1, 2 ** 48 - 1)
  try {
    journal.write([], [], new Map([[ID_NOTE, id]]))
    return id
  } catch {
    // Said with the next notification that cannot be written.
    return undefined
  }
}
