import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { RelayConfig } from '../config.ts'
import { sleep } from '../../runtime/index.ts'
import { journalPath } from '../journal/former-journal.ts'
import { countRows } from '../journal/journal-file.ts'
import { counted, fail, ok, warn, wordsOf, type Diagnosis } from './check.ts'

/** A larger journal is not looked into. */
const LOOKED_INTO_BYTES = 64 * 1024 * 1024

/** A copy that was made while a relay wrote may be torn: it is made again. */
const TRIES = 3

/** The journal: sound, and how much waits in it. */
export async function checkJournal({ dataDir, relayId }: RelayConfig): Promise<Diagnosis> {
  const path = journalPath(dataDir, relayId)
  if (!existsSync(path)) return ok('there is no journal yet; the relay creates it')
  let bytes: number
  try {
    bytes = await sizeOf(path)
  } catch (error) {
    return fail('doctor.journal.unreadable', `${path} cannot be read: ${wordsOf(error)}`, `chown $(id -un) ${path}`)
  }
  if (bytes > LOOKED_INTO_BYTES)
    return ok(`${Math.round(bytes / 1024 / 1024)} MiB, too large for this check; the relay checks it at the start`)
  let damage = ''
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const seen = await lookInto(path)
    if (seen === 0) return ok('the journal is intact and empty')
    if (typeof seen === 'number')
      return ok(`the journal is intact; ${counted(seen, 'notification waits', 'notifications wait')} in it for SQS`)
    damage = seen
    await sleep(200)
  }
  return warn(
    'doctor.journal.damaged',
    `${path} is damaged (${damage}); at its next start the relay moves it aside and recovers the rows that can be read`,
    'check the disk, then restart the relay',
  )
}

/** In bytes. @throws when the file may not be read; its size alone is told to everybody */
async function sizeOf(path: string): Promise<number> {
  const file = await open(path)
  try {
    return (await file.stat()).size
  } finally {
    await file.close()
  }
}

/**
 * How many rows there are, or what is wrong. SQLite makes files beside one that is opened, even to read, and a running relay keeps it
 * locked: so a copy is looked into, which no other user can read and which is removed at once. @throws when it cannot be copied
 */
async function lookInto(path: string): Promise<number | string> {
  const folder = await mkdtemp(join(tmpdir(), 'enigma-doctor-'))
  try {
    const copy = join(folder, 'journal.db')
    await copyFile(path, copy)
    if (existsSync(`${path}-wal`)) await copyFile(`${path}-wal`, `${copy}-wal`)
    return readCopy(copy)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function readCopy(path: string): number | string {
  try {
    const db = new DatabaseSync(path)
    try {
      const [found] = Object.values(db.prepare('PRAGMA quick_check(1)').get() ?? {})
      if (found !== 'ok') return String(found)
      return countRows(db).reduce((sum, { rows }) => sum + rows, 0)
    } finally {
      db.close()
    }
  } catch (error) {
    return wordsOf(error)
  }
}
