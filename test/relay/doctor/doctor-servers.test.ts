import { connect, createServer, type AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { makeChecks, ok } from '../../../src/relay/doctor/check.ts'
import { lookAtRedis } from '../../support/doctor.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { waitFor } from '../../support/relay.ts'

/** Starts a redis-server behind a proxy that rewrites its replies. Replies carry their length, so a rewrite must keep it. */
async function useRewritten(rewrite: (answer: string) => string, args: readonly string[] = []): Promise<string> {
  const { port } = await useRedisServer({ args: [...args] })
  const proxy = createServer((client) => {
    const target = connect(port, '127.0.0.1')
    for (const socket of [client, target])
      socket.on('error', () => undefined).on('close', () => [client, target].forEach((one) => void one.destroy()))
    client.pipe(target)
    target.on('data', (chunk) => void client.write(rewrite(chunk.toString('latin1')), 'latin1'))
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void proxy.close())
  return `redis://127.0.0.1:${(proxy.address() as AddressInfo).port}`
}

const versionAs = (version: string) => (answer: string) =>
  answer.replace(/(?<=redis_version:)[\d.]+/, (real) => version.padEnd(real.length, '0'))

test('a server that is too old or lacks BLMOVE where it is needed fails; one that hides its version is a warning', async () => {
  const left = { ENIGMA_LISTS: 'enigma:notifications:campaigns', ENIGMA_LIST_END: 'left' }
  const old = await useRewritten(versionAs('2.4.'))
  expect((await lookAtRedis(old))['version']).toMatchObject({ state: 'fail', code: 'doctor.version.too_old' })
  const withoutMove = await useRewritten(versionAs('6.0.'))
  expect((await lookAtRedis(withoutMove, left))['version']).toMatchObject({
    state: 'fail',
    code: 'doctor.version.no_blmove',
  })
  for (const env of [{ ENIGMA_LIST_END: 'left' }, { ...left, ENIGMA_LIST_END: 'right' }])
    expect((await lookAtRedis(withoutMove, env))['version']?.state).toBe('ok')
  const withMove = await useRewritten(versionAs('6.2.'))
  expect((await lookAtRedis(withMove, left))['version']?.state).toBe('ok')
  const silent = await useRewritten((answer) => answer.replace('redis_version', 'other_version'))
  expect((await lookAtRedis(silent))['version']).toMatchObject({ state: 'warn', code: 'doctor.version.unknown' })
})

test('a cluster fails; a writable replica is a warning', async () => {
  const cluster = await useRedisServer({ args: ['--cluster-enabled', 'yes'] })
  expect((await lookAtRedis(cluster.url))['role']).toMatchObject({ state: 'fail', code: 'doctor.role.cluster' })
  const primary = await useRedisServer({ args: ['--repl-diskless-sync-delay', '0'] })
  const args = ['--replicaof', `127.0.0.1 ${primary.port}`, '--replica-read-only', 'no']
  const { url } = await useRedisServer({ args })
  const redis = await useRedisClient(url)
  await waitFor(async () => (await redis.info('replication')).includes('master_link_status:up'), 'the replica')
  expect((await lookAtRedis(url))['role']).toMatchObject({ state: 'warn', code: 'doctor.role.writable_replica' })
})

test('a server that would evict keys and a server that is nearly full are warnings', async () => {
  const { url } = await useRedisServer({ args: ['--maxmemory-policy', 'allkeys-lfu'] })
  const redis = await useRedisClient(url)
  expect((await lookAtRedis(url))['memory']).toMatchObject({ state: 'warn', code: 'doctor.memory.would_evict' })
  await redis.configSet('maxmemory-policy', 'noeviction')
  expect((await lookAtRedis(url))['memory']).toMatchObject({ state: 'ok' })
  // The server creates the value itself: the buffer of such a large request would count as used memory until it is freed.
  await redis.eval("redis.call('SET', 'large', string.rep('x', 32 * 1024 * 1024))")
  const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
  await redis.configSet('maxmemory', String(Math.ceil(used / 0.95)))
  expect((await lookAtRedis(url))['memory']).toMatchObject({ state: 'warn', code: 'doctor.memory.nearly_full' })
})

test('doctor tells a failed append, a failed snapshot and loading apart; without CONFIG the finding is less specific', async () => {
  const failed = (status: string) => (answer: string) => answer.replace(`${status}:ok`, `${status}:er`)
  const append = await useRewritten(failed('aof_last_write_status'), ['--appendonly', 'yes'])
  expect((await lookAtRedis(append))['persistence']?.code).toBe('doctor.persistence.append_failed')
  const noAppend = await useRewritten(failed('aof_last_write_status'))
  expect((await lookAtRedis(noAppend))['persistence']?.code).toBe('doctor.persistence.none')
  const going = await useRewritten(failed('rdb_last_bgsave_status'), ['--stop-writes-on-bgsave-error', 'no'])
  expect((await lookAtRedis(going))['persistence']).toMatchObject({
    state: 'warn',
    code: 'doctor.persistence.snapshot_failed',
  })
  const loading = await useRewritten((answer) => answer.replace('\nloading:0', '\nloading:1'))
  expect((await lookAtRedis(loading))['persistence']?.code).toBe('doctor.persistence.loading')
  const { url } = await useRedisServer({ args: ['--rename-command', 'CONFIG', ''] })
  expect((await lookAtRedis(url))['persistence']?.code).toBe('doctor.persistence.no_append_file')
})

test(
  'a server on which PSUBSCRIBE was renamed away fails, and so does one that does not deliver Pub/Sub messages',
  { timeout: 30_000 },
  async () => {
    const { url } = await useRedisServer({ args: ['--rename-command', 'PSUBSCRIBE', ''] })
    expect((await lookAtRedis(url))['heartbeat']).toMatchObject({
      state: 'fail',
      code: 'doctor.heartbeat.no_subscribe',
    })
    const deaf = await useRewritten((answer) => (answer.includes('\r\nmessage\r\n') ? '' : answer))
    expect((await lookAtRedis(deaf))['heartbeat']).toMatchObject({ state: 'fail', code: 'doctor.heartbeat.not_heard' })
  },
)

test('an unknown output buffer limit is a warning; 0 means unlimited; a small soft limit without a hard limit is a warning', async () => {
  const silent = await useRewritten((answer) => answer.replaceAll('pubsub ', 'others '))
  expect((await lookAtRedis(silent))['output-buffer']).toMatchObject({
    state: 'warn',
    code: 'doctor.output_buffer.unknown',
  })
  const alone = await useRedisServer({ args: ['--rename-command', 'CLIENT', ''] })
  expect((await lookAtRedis(alone.url))['output-buffer']).toMatchObject({
    state: 'ok',
    text: expect.stringMatching(/ s$/) as string,
  })
  const { url } = await useRedisServer({ args: ['--client-output-buffer-limit', 'pubsub 0 0 0'] })
  const redis = await useRedisClient(url)
  await redis.subscribe('any', () => undefined)
  expect((await lookAtRedis(url))['output-buffer']).toMatchObject({
    state: 'ok',
    text: expect.stringMatching(/is unlimited, or unlimited for 0 s; \d clients? subscribes? now/) as string,
  })
  const other = await useRedisClient(url)
  await other.configSet('client-output-buffer-limit', 'pubsub 0 1048576 60')
  expect((await lookAtRedis(url))['output-buffer']).toMatchObject({
    state: 'warn',
    code: 'doctor.output_buffer.small',
  })
})

test('a server that answers slowly is a warning', { timeout: 30_000 }, async () => {
  const { port } = await useRedisServer()
  const proxy = await useProxy(port)
  proxy.state.delayMs = 150
  expect(await lookAtRedis(`redis://127.0.0.1:${proxy.port}`)).toMatchObject({
    answer: { state: 'warn', code: 'doctor.redis.slow' },
    heartbeat: { state: 'ok' },
  })
})

test('a check that throws, rejects or hangs is a warning and does not hide other checks', async () => {
  const fails = () => {
    throw new TypeError('as the test wants it')
  }
  const checks = {
    throws: fails,
    rejects: async () => fails(),
    hangs: () => new Promise<never>(() => undefined),
    'says/nothing': () => [],
    says: () => [ok('one'), ok('two')],
  }
  const explain = (error: unknown) => (error instanceof TypeError ? 'mend it' : undefined)
  const code = 'doctor.check.not_possible'
  const text = expect.stringContaining('as the test wants it') as string
  expect(await makeChecks('part', checks, explain, 10)).toEqual([
    { check: 'part/throws', state: 'warn', code, text, fix: 'mend it' },
    { check: 'part/rejects', state: 'warn', code, text, fix: 'mend it' },
    { check: 'part/hangs', state: 'warn', code, text: expect.stringContaining('no answer within') as string },
    { check: 'part/says', state: 'ok', text: 'one' },
    { check: 'part/says', state: 'ok', text: 'two' },
  ])
})
