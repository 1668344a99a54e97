import { onTestFinished } from 'vitest'
import { openJournal } from '../../src/relay/journal/journal.ts'
import type { JournalEntry } from '../../src/relay/journal/journal-entry.ts'
import { captureLog } from './log.ts'

export const entry = (index: number, route = 'agents-status'): JournalEntry => ({
  route,
  sourceId: 'main',
  channel: 'enigma:notifications:agents:1002',
  number: 1_764_000_000_000,
  index,
  timeMs: 1_764_000_000_123,
  packet: Buffer.from([0xff, index]),
})

/** Opens the journal of a relay in a folder. */
export const openTestJournal = (dataDir: string, relayId = 'test', { log } = captureLog()) =>
  openJournal({ dataDir, relayId, sourceIds: ['main'], log, now: () => 1_764_000_000_000 })

/** Opens the same journal, with helpers to write and read. Closes it when the test ends. */
export function useJournal(folder: string, relayId = 'test', capture = captureLog()) {
  const journal = openTestJournal(folder, relayId, capture)
  let isOpen = true
  const close = () => {
    if (isOpen) journal.close()
    isOpen = false
  }
  onTestFinished(close)
  return {
    ...journal,
    close,
    /** Writes entries, and returns the numbers of their rows. */
    add: (...entries: JournalEntry[]) => {
      const rows = entries.map((one) => ({ row: journal.nextRow(one.route), entry: one }))
      journal.write({ rows })
      return rows.map(({ row }) => row)
    },
    note: (name: string, value: number) => journal.write({ notes: new Map([[name, value]]) }),
    forget: (first: number, last: number) => journal.write({ settled: new Map([['agents-status', [[first, last]]]]) }),
    indexes: (route = 'agents-status', afterRow = 0, maxBytes = 1e9) =>
      journal.read(route, afterRow, maxBytes).map(({ entry: { index } }) => index),
  }
}
