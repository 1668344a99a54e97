import { hostname } from 'node:os'
import { isObject } from '../../protocol/index.ts'
import { parseLimit, smallestOf } from '../health/watch-source.ts'
import { isDenied, isUnknown } from '../redis/advice.ts'
import {
  claimPrefix,
  claimsKey,
  leaseKey,
  PARKED_KEY,
  RELAYS_KEY,
  WAITING_FIELD,
  waitingKey,
} from '../redis/relay-keys.ts'
import { countCommands, findRefusals, mendRefusals, sayRefusals, type Need } from '../redis/rights.ts'
import { askIdentity, identityOf, judgeIdentity, sameServer } from '../redis/source-identity.ts'
import { counted, fail, inTime, ok, warn, type Diagnosis, type SourceView } from './check.ts'

/** The oldest Redis with the scripts that the relay needs, and the first one with BLMOVE. */
const OLDEST = [2, 6] as const
const WITH_BLMOVE = [6, 2] as const

export async function checkVersion({ info, config }: SourceView): Promise<Diagnosis> {
  const version = await info('redis_version')
  if (version === undefined) return warn('doctor.version.unknown', 'the server does not report its version')
  const [a = 0, b = 0] = version.split('.').map(Number)
  const isOlder = ([major, minor]: readonly [number, number]) => a < major || (a === major && b < minor)
  if (isOlder(OLDEST))
    return fail('doctor.version.too_old', `Redis ${version} is too old: the relay needs 2.6 or newer`, 'upgrade Redis')
  if (config.listEnd !== 'left' || config.lists.length === 0 || !isOlder(WITH_BLMOVE)) return ok(`Redis ${version}`)
  const text = `Redis ${version} has no BLMOVE, which ENIGMA_LIST_END=left needs (6.2)`
  const fix = 'upgrade Redis to 6.2, or let the dialler push on the left and set ENIGMA_LIST_END=right'
  return fail('doctor.version.no_blmove', text, fix)
}

/** Checks for a primary without cluster mode: items can only be taken from a primary, and the scripts use keys that a cluster could not place. */
export async function checkRole({ info, source }: SourceView): Promise<Diagnosis> {
  const standalone = 'write the address of a standalone Redis server in ENIGMA_SOURCES'
  if ((await info('cluster_enabled')) === '1')
    return fail('doctor.role.cluster', 'this is a Redis Cluster, which the relay does not support', standalone)
  if ((await info('role')) !== 'slave')
    return ok(`this is a primary with ${counted(Number((await info('connected_slaves')) ?? 0), 'replica', 'replicas')}`)
  const host = await info('master_host')
  const primary = `${host?.includes(':') ? `[${host}]` : host}:${await info('master_port')}`
  const fix = `ENIGMA_SOURCES=${source.id}=redis://${primary}`
  const writable = `this is a writable replica of ${primary}: items that the relay takes here stay on the primary`
  const readOnly = `this is a read-only replica of ${primary}: the relay cannot take items from its lists`
  return (await info('slave_read_only')) === '0'
    ? warn('doctor.role.writable_replica', writable, fix)
    : fail('doctor.role.replica', readOnly, fix)
}

const NEARLY_FULL = 0.9

/** Checks memory and eviction: a server that evicts keys deletes lists of the dialler and claims of the relay. */
export async function checkMemory({ info, setting, cli }: SourceView): Promise<Diagnosis> {
  const policy = (await info('maxmemory_policy')) ?? (await setting('maxmemory-policy'))
  const used = Number(await info('used_memory'))
  const most = Number((await info('maxmemory')) ?? (await setting('maxmemory')) ?? 0)
  const keepAll = cli('CONFIG SET maxmemory-policy noeviction')
  const raise = cli(`CONFIG SET maxmemory ${Math.ceil(used * 2)}`)
  const mib = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MiB`
  const size = most > 0 ? `${mib(used)} of ${mib(most)} used` : `${mib(used)} used, no limit`
  const text = `${size}, maxmemory-policy ${policy ?? 'unknown'}`
  if (policy?.startsWith('allkeys-'))
    return most > 0
      ? fail('doctor.memory.evicts', `${text}: when it is full, Redis evicts lists with the items in them`, keepAll)
      : warn('doctor.memory.would_evict', `${text}: once maxmemory is set, Redis evicts lists when it is full`, keepAll)
  if (most === 0) return ok(text)
  if (used >= most)
    return fail('doctor.memory.full', `${text}: Redis is full and refuses the dialler's notifications`, raise)
  if (used >= most * NEARLY_FULL) return warn('doctor.memory.nearly_full', `${text}: Redis is nearly full`, raise)
  if (!policy?.startsWith('volatile-')) return ok(text)
  const evicts = `${text}: when it is full, Redis evicts the relay's lease, and another relay takes over`
  return warn('doctor.memory.evicts_lease', evicts, keepAll)
}

/** Checks whether items in lists and claims survive a restart of Redis. */
export async function checkPersistence({ info, setting, cli }: SourceView): Promise<Diagnosis> {
  /** Returns undefined when Redis refuses this question: the finding then says less. */
  const tell = (name: string): Promise<string | undefined> =>
    setting(name).catch((error: unknown) => {
      if (isDenied(error) || isUnknown(error)) return undefined
      throw error
    })
  const isBad = async (status: string): Promise<boolean> => ((await info(status)) ?? 'ok') !== 'ok'
  const folder = async () => (await tell('dir')) ?? 'its data folder'
  const makeRoom = 'free disk space on the Redis host'
  if ((await info('loading')) === '1')
    return warn('doctor.persistence.loading', 'Redis is reading its data from disk and accepts no commands yet')
  const hasAppendFile = (await info('aof_enabled')) === '1'
  if (hasAppendFile && (await isBad('aof_last_write_status'))) {
    const text = `Redis could not write its append-only file in ${await folder()} and refuses writes`
    return fail('doctor.persistence.append_failed', text, makeRoom)
  }
  if (await isBad('rdb_last_bgsave_status')) {
    const text = `Redis could not write the last snapshot in ${await folder()}`
    // After that, Redis refuses every write unless it is configured not to.
    return (await tell('stop-writes-on-bgsave-error')) === 'no'
      ? warn('doctor.persistence.snapshot_failed', text, makeRoom)
      : fail('doctor.persistence.writes_refused', `${text} and refuses writes`, makeRoom)
  }
  if (hasAppendFile) return ok('Redis uses an append-only file, and its last write succeeded')
  const append = `${cli('CONFIG SET appendonly yes')} && ${cli('CONFIG REWRITE')}`
  const save = await tell('save')
  const unknown =
    'Redis has no append-only file: a crash loses every write since the last snapshot, if it makes snapshots'
  if (save === undefined) return warn('doctor.persistence.no_append_file', unknown, append)
  const none = 'Redis has no persistence: the items in lists and claims are lost when it stops'
  const some = `Redis only makes snapshots (save ${save}): a crash loses every write since the last one`
  return save === ''
    ? warn('doctor.persistence.none', none, append)
    : warn('doctor.persistence.snapshots_only', some, append)
}

/** Below this size (bytes), a busy dialler fills the buffer within a second. The default of Redis is 32 MiB, or 8 MiB for a minute. */
const SMALL_BUFFER = 8 * 1024 * 1024

/**
 * Checks the output buffer of Pub/Sub clients: messages wait in it at the server when a client is slow. Beyond its limit, Redis closes the
 * connection, and the waiting messages are lost.
 */
export async function checkOutputBuffer({ setting, clients, cli }: SourceView): Promise<Diagnosis> {
  const limit = parseLimit((await setting('client-output-buffer-limit')) ?? '')
  const who = await clients().then(
    (all) => `; ${counted(all.filter(({ listens }) => listens).length, 'client subscribes', 'clients subscribe')} now`,
    () => '',
  )
  const untold = `the server does not report the output buffer limit of a Pub/Sub client${who}`
  if (limit === undefined) return warn('doctor.output_buffer.unknown', untold)
  const toText = (bytes: number) =>
    bytes === 0 ? 'unlimited' : bytes < 1024 * 1024 ? `${bytes} bytes` : `${Math.floor(bytes / 1024 / 1024)} MiB`
  const { hardBytes, softBytes, softSeconds } = limit
  const text = `the output buffer limit of a Pub/Sub client is ${toText(hardBytes)}, or ${toText(softBytes)} for ${softSeconds} s${who}`
  const smallest = smallestOf(limit)
  if (smallest === 0 || smallest >= SMALL_BUFFER) return ok(text)
  const small = `${text}: this is small, and Redis disconnects a relay that is slow for a moment`
  const fix = cli('CONFIG SET client-output-buffer-limit "pubsub 268435456 67108864 60"')
  return warn('doctor.output_buffer.small', small, fix)
}

/**
 * Source id → the run id of its server, undefined when the server does not report it. The checks of all sources share this map, and each waits for
 * the run ids of the others.
 */
type Others = ReadonlyMap<string, PromiseWithResolvers<string | undefined>>

/** Checks that relays use this source id for this server, and that no other source of ENIGMA_SOURCES is the same server. */
export async function checkIdentity({ source, client, info }: SourceView, others: Others): Promise<Diagnosis> {
  const runId = await info('run_id').catch(() => undefined)
  others.get(source.id)?.resolve(runId)
  const { name } = await inTime(askIdentity(client, source, false))
  if (name === identityOf(source)) return ok(`relays use the source id ${source.id} for this Redis`)
  const twins: string[] = []
  for (const [id, { promise }] of others)
    if (id !== source.id && runId !== undefined && (await promise) === runId) twins.push(id)
  // Of two sources that no relay has named yet, the first one may stay.
  const ids = [...others.keys()]
  const first = twins.find((id) => ids.indexOf(id) < ids.indexOf(source.id))
  const clash = first === undefined ? undefined : sameServer(source.id, first)
  const refusal = name === '' ? clash : judgeIdentity(source, (id) => twins.includes(id), name)
  return refusal === undefined
    ? ok(`no relay has used this Redis yet; its source id will be ${source.id}`)
    : fail(`doctor.source.${refusal.event}`, refusal.text, refusal.fix)
}

/**
 * Checks whether the user has every right that the relay needs. Optional rights serve metrics only: without them the relay runs and reports fewer
 * metrics. When no optional right is missing, the check returns nothing.
 */
export async function checkRights(view: SourceView, isOptional: boolean): Promise<Diagnosis | []> {
  const { config, client, connect, user, cli } = view
  const of = (need: Need) => (need.of === 'figures') === isOptional
  const connection = isOptional ? client : await connect()
  const give = (command: readonly string[]) => inTime(connection.sendCommand<unknown>([...command]))
  const refusals = await findRefusals({ config, give, of, isOwn: !isOptional })
  if (isOptional && refusals.length === 0) return []
  const name = await user()
  if (refusals.length === 0)
    return ok(`the user ${name} may run all ${countCommands(config, of)} commands that the relay needs`)
  const [text, fix] = [sayRefusals(refusals, name), mendRefusals(refusals, name, cli)]
  if (!isOptional) return fail('doctor.rights.missing', text, fix)
  return warn('doctor.rights.optional_missing', `${text}; the relay runs without them, but reports fewer metrics`, fix)
}

export async function checkRelayId({ ask, config }: SourceView): Promise<Diagnosis> {
  const lease = await ask('GET', leaseKey(config.relayId))
  if (typeof lease !== 'string') return ok(`${config.relayId} is free: no running relay uses it`)
  const { host, pid } = readLease(lease)
  const who = `${config.relayId} is held by process ${pid}`
  if (host === hostname()) return ok(`${who} on this host, which renewed its lease within the last 10 s`)
  const text = `${who} on host ${host}: a second relay with this id waits until that process has ended`
  const fix = `set ENIGMA_RELAY_ID=${config.relayId}-2 or another unique id, unless that process is this relay`
  return warn('doctor.relay_id.held', text, fix)
}

function readLease(text: string): { readonly host: string; readonly pid: number | string } {
  try {
    const lease: unknown = JSON.parse(text)
    const { host, pid } = isObject(lease) ? lease : {}
    return { host: typeof host === 'string' ? host : '?', pid: typeof pid === 'number' ? pid : '?' }
  } catch {
    return { host: '?', pid: '?' }
  }
}

/** Finds claims of relays that are not running. The next running relay adopts them. */
export async function checkClaims({ ask, config }: SourceView): Promise<Diagnosis | Diagnosis[]> {
  const known = ((await ask('ZRANGE', RELAYS_KEY, '0', '-1')) as unknown[]).map(String)
  const found = await Promise.all(
    [...new Set([config.relayId, ...known])].map(async (relayId) => {
      const [lives, fields] = await Promise.all([ask('EXISTS', leaseKey(relayId)), ask('HKEYS', claimsKey(relayId))])
      if (lives === 1) return []
      const lengths = (fields as unknown[]).map(String).map(async (field) => {
        const isWaiting = field.startsWith(WAITING_FIELD)
        const list = field.slice(WAITING_FIELD.length)
        return Number(await ask('LLEN', isWaiting ? waitingKey(relayId, list) : claimPrefix(relayId) + field))
      })
      const items = (await Promise.all(lengths)).reduce((sum, length) => sum + length, 0)
      if (items === 0) return []
      const text = `${counted(items, 'item is', 'items are')} in claims of ${relayId}, which is not running; the next running relay sends them`
      return warn('doctor.claims.left', text, 'start a relay: enigma-relay relay')
    }),
  )
  const left = found.flat()
  return left.length > 0 ? left : ok('no stopped relay has left claims')
}

/** Counts the parked notifications, which wait for an operator. */
export async function checkParked({ ask }: SourceView): Promise<Diagnosis> {
  const items = Number(await ask('LLEN', PARKED_KEY))
  if (items === 0) return ok('no notification is parked')
  const text = `${counted(items, 'notification is', 'notifications are')} parked`
  return warn('doctor.parked.waiting', text, 'list them: enigma-relay parked')
}
