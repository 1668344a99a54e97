import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe } from '../errors.ts'
import type { JournalOptions } from './journal.ts'
import { isDamage, openJournalFile } from './journal-file.ts'
import { takeJournalLock } from './journal-lock.ts'
import { resumeRecovery } from './salvage.ts'

/** The journal of a relay in its folder. */
export const journalPath = (dataDir: string, relayId: string): string => join(dataDir, `journal-${relayId}.db`)

/**
 * A relay that has no journal yet takes over the youngest one in its folder that nobody uses: a container that is made anew has
 * another host name, and so another id, and what the former one heard and did not send is on the volume. One that a running relay
 * has is locked, and stays where it is; so does one of a relay of other sources, which is to announce their gaps when it is back.
 */
export function takeFormerJournal({ dataDir, relayId, sourceIds, log, now }: JournalOptions): void {
  const path = journalPath(dataDir, relayId)
  if (existsSync(path)) return
  // Also one whose recovery was all but done: its draft has to be named after it yet.
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

  /** All of its files: what was put aside belongs to it, and so does a draft. The database last: it tells that there is a journal. */
  function takeOver(other: string): void {
    const start = basename(other)
    rmSync(`${other}.lock`, { force: true })
    const ends = readdirSync(dataDir)
      .filter((name) => name.startsWith(start) && name !== `${start}.lock`)
      .map((name) => name.slice(start.length))
    for (const end of ends.filter((name) => name !== '')) renameSync(other + end, path + end)
    renameSync(other, path)
  }

  function isOfSources(file: string): boolean {
    try {
      const journal = openJournalFile(file)
      const heard = [...journal.notes().keys()].filter((name) => !name.startsWith('#'))
      journal.close()
      return heard.every((sourceId) => sourceIds.includes(sourceId))
    } catch (error) {
      // A damaged one is recovered when it is opened next.
      if (isDamage(error)) return true
      throw error
    }
  }
}
