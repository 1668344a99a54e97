import { fail, ok, warn, type Finding } from './finding.ts'
import type { SourceView } from './source-view.ts'

/** The oldest Redis with the scripts that the relay is made of, and the first one with BLMOVE. */
const OLDEST = [2, 6]
const WITH_BLMOVE = [6, 2]

const isOlder = (version: string, [major = 0, minor = 0]: readonly number[]): boolean => {
  const [a = 0, b = 0] = version.split('.').map(Number)
  return a < major || (a === major && b < minor)
}

export async function checkVersion({ name, info, config }: SourceView): Promise<Finding> {
  const version = await info('redis_version')
  if (version === undefined)
    return warn(name('version'), 'doctor.version.unknown', 'the server does not report its version')
  if (isOlder(version, OLDEST))
    return fail(
      name('version'),
      'doctor.version.too_old',
      `Redis ${version} is too old: the relay needs 2.6 or newer`,
      'upgrade Redis',
    )
  if (config.listEnd === 'left' && config.lists.length > 0 && isOlder(version, WITH_BLMOVE)) {
    return fail(
      name('version'),
      'doctor.version.no_blmove',
      `Redis ${version} has no BLMOVE, which ENIGMA_LIST_END=left needs (6.2)`,
      'upgrade Redis to 6.2, or let the dialler push on the left and set ENIGMA_LIST_END=right',
    )
  }
  return ok(name('version'), `Redis ${version}`)
}

/** Lists can only be taken from a primary, and the scripts name keys that a cluster could not place. */
export async function checkRole({ name, info, source }: SourceView): Promise<Finding> {
  const [role, isCluster, host, port, isReadOnly] = await Promise.all(
    ['role', 'cluster_enabled', 'master_host', 'master_port', 'slave_read_only'].map((field) => info(field)),
  )
  if (isCluster === '1')
    return fail(
      name('role'),
      'doctor.role.cluster',
      'this is a Redis Cluster, which the relay does not support',
      'write the address of a standalone Redis server in ENIGMA_SOURCES',
    )
  if (role === 'slave') {
    const primary = `${host?.includes(':') ? `[${host}]` : host}:${port}`
    const fix = `ENIGMA_SOURCES=${source.id}=redis://${primary}`
    if (isReadOnly === '0')
      return warn(
        name('role'),
        'doctor.role.writable_replica',
        `this is a writable replica of ${primary}: items that the relay takes here stay on the primary`,
        fix,
      )
    return fail(
      name('role'),
      'doctor.role.replica',
      `this is a read-only replica of ${primary}: the relay cannot take items from its lists`,
      fix,
    )
  }
  const replicas = (await info('connected_slaves')) ?? '0'
  return ok(name('role'), `this is a primary with ${replicas} ${replicas === '1' ? 'replica' : 'replicas'}`)
}

/** How full a server may be before it is said. */
const NEARLY_FULL = 0.9

/** A server that evicts throws away lists of the dialler's and claims of the relay's. */
export async function checkMemory({ name, info, setting, cli }: SourceView): Promise<Finding> {
  const policy = (await info('maxmemory_policy')) ?? (await setting('maxmemory-policy'))
  const used = Number(await info('used_memory'))
  const most = Number((await info('maxmemory')) ?? (await setting('maxmemory')) ?? 0)
  const fix = cli('CONFIG SET maxmemory-policy noeviction')
  const size = most > 0 ? `${mib(used)} of ${mib(most)} used` : `${mib(used)} used, no limit`
  const text = `${size}, maxmemory-policy ${policy ?? 'unknown'}`
  if (policy?.startsWith('allkeys-')) {
    return most > 0
      ? fail(
          name('memory'),
          'doctor.memory.evicts',
          `${text}: when it is full, Redis evicts lists with the items in them`,
          fix,
        )
      : warn(
          name('memory'),
          'doctor.memory.would_evict',
          `${text}: once maxmemory is set, Redis evicts lists when it is full`,
          fix,
        )
  }
  if (most > 0 && used >= most)
    return fail(
      name('memory'),
      'doctor.memory.full',
      `${text}: Redis is full and refuses the dialler's notifications`,
      cli(`CONFIG SET maxmemory ${Math.ceil(used * 2)}`),
    )
  if (most > 0 && used >= most * NEARLY_FULL)
    return warn(
      name('memory'),
      'doctor.memory.nearly_full',
      `${text}: Redis is nearly full`,
      cli(`CONFIG SET maxmemory ${Math.ceil(used * 2)}`),
    )
  if (policy?.startsWith('volatile-') && most > 0)
    return warn(
      name('memory'),
      'doctor.memory.evicts_lease',
      `${text}: when it is full, Redis evicts the relay's lease, and another relay takes over`,
      fix,
    )
  return ok(name('memory'), text)
}

const mib = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MiB`
