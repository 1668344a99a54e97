import { randomInt } from 'node:crypto'
import type { JournalIntake } from '../pubsub/pubsub-intake.ts'
import type { Journal } from './journal.ts'

/** Names of the numbers that the journal keeps beside notifications. Source ids have no `#`. */
const ID_NOTE = '#journal'
const numberNote = (sourceId: string): string => `#number:${sourceId}`

/**
 * Reads the id that no other journal has; makes it when the journal is first opened. One process at a time holds a journal, so another
 * process that had this id is gone. Undefined when it cannot be written, as on a full disk.
 */
export function readJournalId(journal: Journal): number | undefined {
  const known = journal.noted(ID_NOTE)
  if (known !== undefined) return known
  const id = randomInt(1, 2 ** 48 - 1)
  try {
    journal.write({ notes: new Map([[ID_NOTE, id]]) })
    return id
  } catch {
    // The next notification that cannot be written logs why.
    return undefined
  }
}

/** What this process and former ones know of a source, kept in the journal. */
export function createSourceNotes(sourceId: string, journal: Journal, intake: Pick<JournalIntake, 'note'>) {
  return {
    /**
     * Until when (ms) a former process heard Pub/Sub. If the journal has lost its notes, the time of its file: a gap is announced all the same.
     */
    formerlyHeardMs: journal.noted(sourceId) ?? journal.lostMs,
    /** The highest number that a former process saw. */
    formerNumber: journal.noted(numberNote(sourceId)),
    /** Pub/Sub was heard until then (ms). */
    heard: (untilMs: number): void => intake.note(sourceId, untilMs),
    /** The highest number so far. */
    saw: (number: number): void => intake.note(numberNote(sourceId), number),
  }
}

export type SourceNotes = ReturnType<typeof createSourceNotes>
