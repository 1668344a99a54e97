import { isDenied, isUnknown } from '../redis/advice.ts'
import { parseLimit, smallestOf } from '../redis/output-buffer.ts'
import { counted, fail, ok, warn, type Diagnosis, type SourceView } from './check.ts'

/** The oldest Redis with the scripts that the relay is made of, and the first one with BLMOVE. */
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

/** Lists can only be taken from a primary, and the scripts name keys that a cluster could not place. */
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

/** A server that evicts throws away lists of the dialler's and claims of the relay's. */
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

/** Whether what waits in lists and claims is still there when Redis starts again. */
export async function checkPersistence({ info, setting, cli }: SourceView): Promise<Diagnosis> {
  /** Undefined when the server does not let ask: then less is said. */
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
    // Redis refuses every write after that, unless it is told not to.
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

/** Below this (bytes) a second of a busy dialler, heard late, ends the connection. Redis' own default is 32 MiB, 8 MiB for a minute. */
const SMALL_BUFFER = 8 * 1024 * 1024

/** PubSub that waits at the server for one that is slow; beyond its limit Redis cuts the connection, and what waited is lost. */
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
