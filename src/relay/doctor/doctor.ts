import { existsSync, mkdtempSync, rmdirSync, statSync } from 'node:fs'
import { copyFile, mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Routes } from '../../protocol/index.ts'
import { sleep } from '../../runtime/index.ts'
import type { RelayConfig, SourceConfig } from '../config.ts'
import { countRows, journalPath } from '../journal/journal-file.ts'
import { looseSecrets, redisCli } from '../redis/address.ts'
import { isAnswer, isDenied, isUnknown, judgeRedis, type RedisFault } from '../redis/advice.ts'
import { judgeConnection } from '../redis/redis-client.ts'
import { usesSqs } from '../targets/http/target-settings.ts'
import {
  counted,
  createSourceView,
  type Diagnosis,
  fail,
  type Finding,
  makeChecks,
  ok,
  type SourceView,
  warn,
  wordsOf,
} from './check.ts'
import {
  checkChannels,
  checkConsumers,
  checkHeartbeat,
  checkList,
  checkNames,
  checkStates,
  readKeys,
} from './dialler-checks.ts'
import {
  checkClaims,
  checkIdentity,
  checkMemory,
  checkOutputBuffer,
  checkParked,
  checkPersistence,
  checkRelayId,
  checkRights,
  checkRole,
  checkVersion,
} from './redis-checks.ts'
import { checkProxy, examineSqs, examineTargets } from './target-checks.ts'

export type DoctorOptions = { readonly config: RelayConfig; readonly routes: Routes }

/**
 * Checks everything that a relay with this configuration needs, all of it at once, and yields the findings in the same order each time: the machine,
 * each source, SQS, each HTTP target. Takes nothing from a list, sends nothing except an empty batch to HTTP targets, and leaves no key and no file
 * behind.
 */
export async function* examine({ config, routes }: DoctorOptions): AsyncGenerator<Finding> {
  const others: Others = new Map(config.sources.map(({ id }) => [id, Promise.withResolvers()]))
  const parts = [
    makeChecks('machine', {
      node: () => checkNode(),
      folder: () => checkFolder(config),
      disk: () => checkDisk(config),
      journal: () => checkJournal(config),
    }),
    ...config.sources.map((source) => examineSource(source, config, Date.now, others)),
    ...(usesSqs(config.targets, routes)
      ? [makeChecks('sqs', { proxy: () => checkProxy(config) }), examineSqs(config, routes, Date.now)]
      : []),
    examineTargets(config, routes, Date.now),
  ]
  for (const part of parts) yield* await part
}

/** The run ids of the servers, which the checks of all sources share. */
type Others = Parameters<typeof checkIdentity>[1]

/** A claim needs three round trips: at this many ms each, an agent notices the delay of a call. */
const SLOW_MS = 200

/** Checks one Redis server of ENIGMA_SOURCES. Changes nothing there and takes nothing. Never throws. */
export async function examineSource(
  source: SourceConfig,
  config: RelayConfig,
  now: () => number,
  others: Others = new Map(),
): Promise<readonly Finding[]> {
  const part = `redis/${source.id}`
  const { open: connect, close } = createSourceView(source, config, now)
  try {
    const view = await connect()
    const from = performance.now()
    const refusal = await findRefusal(view.ask)
    const ms = Math.max(1, Math.round(performance.now() - from))
    const text = `Redis answers after ${ms} ms`
    const fix = 'run the relay closer to the dialler'
    const delay = ms > SLOW_MS ? warn('doctor.redis.slow', `${text}, which delays each claim`, fix) : ok(text)
    let reading: ReturnType<typeof readKeys> | undefined
    const keys = () => (reading ??= readKeys(view))
    const checks = {
      version: () => checkVersion(view),
      role: () => checkRole(view),
      source: () => checkIdentity(view, others),
      memory: () => checkMemory(view),
      persistence: () => checkPersistence(view),
      secrets: () => checkSecrets(view),
      rights: () => checkRights(view, false),
      'rights/optional': () => checkRights(view, true),
      heartbeat: () => checkHeartbeat(view),
      'output-buffer': () => checkOutputBuffer(view),
      channels: () => checkChannels(view),
      states: () => checkStates(view),
      ...Object.fromEntries(
        config.lists.map((list) => [`list/${list}`, async () => checkList(view, list, await keys())]),
      ),
      lists: async () => checkNames(view, await keys()),
      consumers: () => checkConsumers(view),
      'relay-id': () => checkRelayId(view),
      claims: () => checkClaims(view),
      parked: () => checkParked(view),
    }
    return [
      { check: `${part}/answer`, ...delay },
      ...(refusal === undefined ? [] : [{ check: `${part}/ping`, ...refusal }]),
      ...(await makeChecks(part, checks, explain)),
    ]
  } catch (error) {
    return [{ check: `${part}/answer`, ...(await explainAbsence(source, error)) }]
  } finally {
    // The checks of another source may wait for this source's run id, which is not known now.
    others.get(source.id)?.resolve(undefined)
    close()
  }
}

/**
 * Returns the error with which Redis answers PING. The other checks may still report more. @throws when nothing more can be asked: Redis does not
 * answer, or refuses the login
 */
async function findRefusal(ask: (command: string) => Promise<unknown>): Promise<Diagnosis | undefined> {
  try {
    await ask('PING')
    return undefined
  } catch (error) {
    const fault = judgeRedis(error)
    if (!isAnswer(error) || fault.code === 'relay.redis.access_denied') throw error
    return fail(codeOf(fault), `${fault.says} (${wordsOf(fault.words)})`, fault.fix)
  }
}

/** The same codes as in the relay's log. */
const codeOf = ({ code }: RedisFault) => `doctor.redis.${code.split('.')[2]}` as const

async function explainAbsence(source: SourceConfig, error: unknown): Promise<Diagnosis> {
  const { host } = new URL(source.url)
  const fault = await judgeConnection(error, source)
  const code = codeOf(fault)
  const create =
    'write the file, and let the user that runs the relay read it: docs/relay.md, "TLS, users and passwords"'
  if (fault.code === 'relay.redis.no_secret')
    return fail(code, `the relay has no user or password for ${host}: ${fault.words}`, create)
  if (/ECONNREFUSED/.test(fault.words))
    return fail(code, `nothing listens at ${host}`, 'start Redis there, or correct ENIGMA_SOURCES')
  const unusable = `Redis at ${host} cannot be used`
  if (fault.code === 'relay.redis.unreachable')
    return fail(code, `${unusable}: ${wordsOf(error)}`, `check that this host can reach it: ${redisCli(source)} PING`)
  return fail(code, `${unusable}: ${fault.says} (${wordsOf(fault.words)})`, fault.fix)
}

function explain(error: unknown): string | undefined {
  if (isDenied(error)) return 'allow this command for the user to enable this check'
  if (isUnknown(error)) return 'remove the rename-command line of this command from redis.conf to enable this check'
  return undefined
}

/* The machine: Node, and the disk for the data directory. */

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

async function checkDisk({ dataDir }: RelayConfig): Promise<Diagnosis> {
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
