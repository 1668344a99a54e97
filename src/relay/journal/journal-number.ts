import { randomInt } from 'node:crypto'
import type { Journal } from './journal.ts'

/** Source ids have no `#`. */
const NAME_NOTE = '#journal'

/**
 * A number that this journal alone has, made when it is first opened: one process at a time holds it, so whoever else bears the name
 * is gone. Undefined when it cannot be written down, as on a full disk.
 */
export function nameJournal(journal: Journal): number | undefined {
  const known = journal.noted(NAME_NOTE)
  if (known !== undefined) return known
  const name = randomInt(1, 2 ** 48 - 1)
  try {
    journal.write([], [], new Map([[NAME_NOTE, name]]))
    return name
  } catch {
    // Said with the next notification that cannot be written.
    return undefined
  }
}
