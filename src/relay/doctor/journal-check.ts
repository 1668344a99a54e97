import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { RelayConfig } from '../config.ts'
import { sleep } from '../../runtime/index.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import { wordsOf } from './words-of.ts'

/** A larger journal is not looked into. */
const LOOKED_INTO_BYTES = 64 * 1024 * 1024

/** A copy that was made while a relay wrote may be torn: it is made again. */
const TRIES = 3

/**
 * The journal: sound, and how much waits in it. SQLite makes files beside one that is opened, even to read, and a running relay keeps
 * it locked: so a copy is looked into, which no other user can read and which is removed at once.
 */
export async function checkJournal({ dataDir, relayId }: RelayConfig): Promise<Finding> {
  const check = 'machine/journal'
  const path = join(dataDir, `journal-${relayId}.db`)
  if (!existsSync(path)) return ok(check, 'there is no journal yet; the relay creates it')
  let bytes: number
  try {
    bytes = (await stat(path)).size
    if (bytes > LOOKED_INTO_BYTES)
      return ok(
        check,
        `${Math.round(bytes / 1024 / 1024)} MiB, too large for this check; the relay checks it at the start`,
      )
  } catch (error) {
    return fail(
      check,
      'doctor.journal.unreadable',
      `${path} cannot be read: ${wordsOf(error)}`,
      `chown $(id -un) ${path}`,
    )
  }
  let damage = ''
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const seen = await lookInto(path)
    if (typeof seen === 'number')
      return ok(
        check,
        seen === 0
          ? 'the journal is intact and empty'
          : `the journal is intact; ${seen} ${seen === 1 ? 'notification waits' : 'notifications wait'} in it for SQS`,
      )
    damage = seen
    await sleep(200)
  }
  return warn(
    check,
    'doctor.journal.damaged',
    `${path} is damaged (${damage}); at its next start the relay moves it aside and recovers the rows that can be read`,
    'check the disk, then restart the relay',
  )
}

/** How many rows there are, or what is wrong. */
async function lookInto(path: string): Promise<number | string> {
  const folder = await mkdtemp(join(tmpdir(), 'enigma-doctor-'))
  try {
    const copy = join(folder, 'journal.db')
    await copyFile(path, copy)
    if (existsSync(`${path}-wal`)) await copyFile(`${path}-wal`, `${copy}-wal`)
    const db = new DatabaseSync(copy)
    try {
      const [found] = Object.values(db.prepare('PRAGMA quick_check(1)').get() ?? {})
      if (found !== 'ok') return String(found)
      return Number(db.prepare('SELECT count(*) AS rows FROM heard').get()?.['rows'])
    } finally {
      db.close()
    }
  } catch (error) {
    return wordsOf(error)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
