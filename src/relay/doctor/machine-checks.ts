import { existsSync, mkdtempSync, rmdirSync, statSync } from 'node:fs'
import { copyFile, mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sleep } from '../../runtime/index.ts'
import type { RelayConfig } from '../config.ts'
import { countRows, journalPath } from '../journal/journal-file.ts'
import { looseSecrets } from '../redis/address.ts'
import { counted, fail, ok, warn, wordsOf, type Diagnosis, type SourceView } from './check.ts'

const MIN_NODE = 24

export function checkNode(version: string = process.versions.node): Diagnosis {
  if (Number.parseInt(version, 10) >= MIN_NODE) return ok(`Node ${version}`)
  const fix = `install Node ${MIN_NODE}, or run npm install --include=optional, which includes it`
  return fail('doctor.node.too_old', `Node ${version} is too old: the relay needs ${MIN_NODE}`, fix)
}

/** Returns the folder itself, or its nearest parent that exists. */
function nearest(folder: string): string {
  const path = resolve(folder)
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path))
}

/** Checks whether the journal can be written. Access rights alone do not prove it, so the check creates a folder there and removes it at once. */
export function checkFolder({ dataDir }: RelayConfig): Diagnosis {
  const there = nearest(dataDir)
  try {
    const notFolder = `${there} is a file, but the journal needs a folder`
    if (!statSync(there).isDirectory())
      return fail('doctor.folder.not_a_folder', notFolder, 'set ENIGMA_DATA_DIR to a folder')
    rmdirSync(mkdtempSync(join(there, '.enigma-doctor-')))
  } catch (error) {
    const fix = `mkdir -p ${dataDir} && chown $(id -un) ${dataDir}, or set ENIGMA_DATA_DIR to another folder`
    return fail('doctor.folder.not_writable', `${there} cannot be written: ${wordsOf(error)}`, fix)
  }
  const isThere = there === resolve(dataDir)
  return ok(isThere ? `${dataDir} is writable` : `${dataDir} does not exist yet; the relay can create it`)
}

/** The journal may grow to 2 GiB. Below the lower limit it has no room for a minute of a busy dialler. */
const ENOUGH_BYTES = 3 * 1024 ** 3
const MIN_FREE_BYTES = 256 * 1024 ** 2

export async function checkDisk({ dataDir }: RelayConfig): Promise<Diagnosis> {
  const { bavail, bsize } = await statfs(nearest(dataDir))
  return judgeDisk(bavail * bsize, dataDir)
}

export function judgeDisk(free: number, dataDir: string): Diagnosis {
  const text = `${free >= 1024 ** 3 ? `${Math.floor(free / 1024 ** 3)} GiB` : `${Math.floor(free / 1024 ** 2)} MiB`} free for the journal`
  const fix = `free disk space for ${dataDir}, or set ENIGMA_DATA_DIR to a folder on another disk`
  if (free < MIN_FREE_BYTES)
    return fail('doctor.disk.full', `${text}: an outage of SQS or of an HTTP target would fill the disk`, fix)
  return free < ENOUGH_BYTES ? warn('doctor.disk.small', `${text}: the journal may grow to 2 GiB`, fix) : ok(text)
}

/** Checks whether other users of this host can read the files with user, password and keys. Returns nothing when there are no such files. */
export function checkSecrets({ source }: SourceView): Diagnosis | [] {
  if (source.passwordFile === undefined && source.userFile === undefined && source.keyFile === undefined) return []
  const loose = looseSecrets(source)
  if (loose.length === 0) return ok('only their owner can read the user, password and key files')
  const text = `every user of this host can read ${loose.join(', ')}`
  return warn('doctor.secrets.readable', text, `chmod 600 ${loose.join(' ')}`)
}

const MAX_CHECKED_BYTES = 64 * 1024 * 1024

/** A copy that was made while a relay wrote may be inconsistent: it is made again. */
const MAX_TRIES = 3

/** Checks that the journal is intact, and counts its rows. */
export async function checkJournal({ dataDir, relayId }: RelayConfig): Promise<Diagnosis> {
  const path = journalPath(dataDir, relayId)
  if (!existsSync(path)) return ok('there is no journal yet; the relay creates it')
  try {
    // Opens the file, because a user without the right to read it could still read its size.
    await using file = await open(path)
    const { size } = await file.stat()
    if (size > MAX_CHECKED_BYTES)
      return ok(`${Math.round(size / 1024 / 1024)} MiB, too large for this check; the relay checks it at the start`)
  } catch (error) {
    return fail('doctor.journal.unreadable', `${path} cannot be read: ${wordsOf(error)}`, `chown $(id -un) ${path}`)
  }
  let damage = ''
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    const seen = await lookInto(path)
    if (seen === 0) return ok('the journal is intact and empty')
    if (typeof seen === 'number')
      return ok(`the journal is intact; ${counted(seen, 'notification waits', 'notifications wait')} in it`)
    damage = seen
    await sleep(200)
  }
  const text = `${path} is damaged (${damage}); at its next start the relay moves it aside and recovers the rows that can be read`
  return warn('doctor.journal.damaged', text, 'check the disk, then restart the relay')
}

/**
 * Returns the number of rows, or the damage. SQLite creates files beside a database that is opened, even for reading, and a running relay keeps it
 * locked. So this checks a copy that no other user can read, and removes it at once. @throws when the file cannot be copied
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
    using db = new DatabaseSync(path)
    const [found] = Object.values(db.prepare('PRAGMA quick_check(1)').get() ?? {})
    return found === 'ok' ? countRows(db).reduce((sum, { rows }) => sum + rows, 0) : String(found)
  } catch (error) {
    return wordsOf(error)
  }
}
