import { existsSync, readdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../runtime/index.ts'
import { describe } from './errors.ts'
import { isDamage, openJournalFile } from './journal-file.ts'

/** The journal of a relay in its folder. */
export const journalPath = (dataDir: string, relayId: string): string => join(dataDir, `journal-${relayId}.db`)

/**
 * A relay that has no journal yet takes over the youngest one in its folder that nobody uses: a container that is made anew has
 * another host name, and so another id, and what the former one heard and did not send is on the volume. One that a running relay
 * has is locked, and stays where it is; so does one of a relay of other sources, which is to announce their gaps when it is back.
 */
export function takeFormerJournal(dataDir: string, relayId: string, sourceIds: readonly string[], log: Logger): void {
  const path = journalPath(dataDir, relayId)
  if (existsSync(path)) return
  const others = readdirSync(dataDir)
    .filter((name) => /^journal-.+\.db$/.test(name))
    .map((name) => join(dataDir, name))
  const changedMs = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
  for (const other of others.toSorted((a, b) => changedMs(b) - changedMs(a))) {
    if (!isFree(other)) continue
    for (const end of ['', '-wal', '-shm']) if (existsSync(other + end)) renameSync(other + end, path + end)
    return log.warn(
      { code: 'relay.journal.taken_over', file: other, relayId },
      'The relay took over the journal of a relay with another id that is not running; set ENIGMA_RELAY_ID to keep one id',
    )
  }

  function isFree(file: string): boolean {
    try {
      const journal = openJournalFile(file)
      const heard = [...journal.notes().keys()].filter((name) => !name.startsWith('#'))
      journal.close()
      return heard.every((sourceId) => sourceIds.includes(sourceId))
    } catch (error) {
      // A damaged one is mended when it is opened next.
      if (!isDamage(error))
        log.info(
          { code: 'relay.journal.not_taken', file, error: describe(error) },
          'The relay leaves the journal of another relay alone',
        )
      return isDamage(error)
    }
  }
}
