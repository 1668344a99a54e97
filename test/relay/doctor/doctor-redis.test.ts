import { hostname } from 'node:os'
import { expect, onTestFinished, test } from 'vitest'
import { createClient } from 'redis'
import { examine } from '../../../src/relay/doctor/doctor.ts'
import { readConfig } from '../../../src/relay/index.ts'
import { everythingIn, lookAtRedis } from '../../support/doctor.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useFolder, waitFor } from '../../support/relay.ts'
import { ROUTES } from '../../support/routes.ts'

const CAMPAIGNS = 'enigma:notifications:campaigns'
const LISTS = { ENIGMA_LISTS: CAMPAIGNS }
const cdr = (dialedAt: number) =>
  JSON.stringify({ type: 'cdr', payload: { call_ref: String(dialedAt), dialed_at: dialedAt, number: '27825550001' } })

test('on a healthy server every check passes, and doctor changes nothing', async () => {
  const { url } = await useRedisServer({ args: ['--appendonly', 'yes'] })
  const redis = await useRedisClient(url)
  // Pushed on the left: the oldest is on the right.
  for (let at = 1; at <= 20; at++) await redis.lPush(CAMPAIGNS, cdr(1_700_000_000 + at))
  await redis.set('enigma:relay:number', '17')
  const before = await everythingIn(url)
  const found = await lookAtRedis(url, LISTS)
  expect(Object.values(found).filter(({ state }) => state !== 'ok')).toEqual([])
  expect(found[`list/${CAMPAIGNS}`]?.text).toMatch(/\b20 items.*\bright\b/)
  expect(found).toMatchObject({ heartbeat: { state: 'ok' }, rights: { state: 'ok' } })
  expect(await everythingIn(url)).toEqual(before)
  expect(before.values).toHaveLength(2)
  expect(await redis.info('commandstats')).toContain('cmdstat_scan:calls=1,')
  // doctor closes its connections itself, before they time out.
  const own = async () => (await redis.sendCommand<string>(['CLIENT', 'LIST'])).trim().split('\n')
  await waitFor(async () => (await own()).length === 1, 'no other client', 5_000)
})

test('an evicting server fails with the command that fixes it; a full server fails and is left unchanged', async () => {
  const { url, port } = await useRedisServer({ args: ['--maxmemory', '8mb', '--maxmemory-policy', 'allkeys-lru'] })
  const redis = await useRedisClient(url)
  expect((await lookAtRedis(url))['memory']).toMatchObject({
    state: 'fail',
    code: 'doctor.memory.evicts',
    fix: `redis-cli -h 127.0.0.1 -p ${port} CONFIG SET maxmemory-policy noeviction`,
  })
  await redis.configSet('maxmemory-policy', 'volatile-lru')
  expect((await lookAtRedis(url))['memory']).toMatchObject({ state: 'warn', code: 'doctor.memory.evicts_lease' })
  await redis.configSet('maxmemory-policy', 'noeviction')
  expect((await lookAtRedis(url))['memory']).toMatchObject({ state: 'ok' })
  await redis.lPush(CAMPAIGNS, [cdr(2), cdr(1)])
  await redis.configSet('maxmemory', '100kb')
  const before = await everythingIn(url)
  const full = await lookAtRedis(url, LISTS)
  expect(full['memory']).toMatchObject({
    state: 'fail',
    code: 'doctor.memory.full',
    fix: expect.stringContaining('CONFIG SET maxmemory ') as string,
  })
  // A full server rejects the command, but that answer proves the right.
  expect(full['rights']?.state).toBe('ok')
  expect(await everythingIn(url)).toEqual(before)
})

test('missing persistence and snapshots without an append-only file are warnings; a server that refuses writes after a failed snapshot fails', async () => {
  const { url } = await useRedisServer({ args: ['--enable-protected-configs', 'yes'] })
  const redis = await useRedisClient(url)
  expect((await lookAtRedis(url))['persistence']).toMatchObject({
    state: 'warn',
    code: 'doctor.persistence.none',
    fix: expect.stringMatching(
      /^redis-cli -h \S+ -p \d+ CONFIG SET appendonly yes && redis-cli -h \S+ -p \d+ CONFIG REWRITE$/,
    ) as string,
  })
  await redis.configSet('save', '900 1')
  expect((await lookAtRedis(url))['persistence']).toMatchObject({
    state: 'warn',
    code: 'doctor.persistence.snapshots_only',
  })
  await redis.configSet('dbfilename', 'x'.repeat(300))
  await redis.set('a', '1')
  await redis.sendCommand(['BGSAVE']).catch(() => undefined)
  await waitFor(
    async () => (await redis.info('persistence')).includes('rdb_last_bgsave_status:err'),
    'a snapshot that failed',
  )
  expect(await lookAtRedis(url)).toMatchObject({
    answer: { state: 'ok' },
    persistence: { state: 'fail', code: 'doctor.persistence.writes_refused' },
  })
  // Without this the server would not stop, because it cannot save its snapshot.
  await redis.configSet('save', '')
})

test('a replica fails, with the address of its primary', async () => {
  const primary = await useRedisServer({ args: ['--repl-diskless-sync-delay', '0'] })
  const { url } = await useRedisServer({ args: ['--replicaof', `127.0.0.1 ${primary.port}`] })
  const redis = await useRedisClient(url)
  await waitFor(async () => (await redis.info('replication')).includes('master_link_status:up'), 'the replica')
  expect((await lookAtRedis(url))['role']).toMatchObject({
    state: 'fail',
    code: 'doctor.role.replica',
    fix: `ENIGMA_SOURCES=main=redis://127.0.0.1:${primary.port}`,
  })
  expect((await lookAtRedis(primary.url))['role']).toMatchObject({ state: 'ok' })
})

test('list checks report a wrong type, a wrong end, a mix of singular and plural keys, and a list that is not named', async () => {
  const { url } = await useRedisServer()
  const redis = await useRedisClient(url)
  await redis.set('enigma:notifications:cdr', 'x')
  // Pushed on the right: the oldest is on the left, but for a call that lasted long.
  for (let at = 1; at <= 9; at++)
    await redis.rPush('enigma:notifications:campaign', cdr(1_700_000_000 + (at === 1 ? 20 : at)))
  const env = {
    ENIGMA_LISTS: `${CAMPAIGNS},enigma:notifications:cdr,enigma:notifications:campaign,enigma:notifications:inbound`,
  }
  const found = await lookAtRedis(url, env)
  expect(found[`list/${CAMPAIGNS}`]).toMatchObject({
    code: 'doctor.list.other_key',
    text: expect.stringMatching(/enigma:notifications:campaign\b.*\b9 items/) as string,
  })
  expect(found['list/enigma:notifications:cdr']?.code).toBe('doctor.list.wrong_type')
  expect(found['list/enigma:notifications:campaign']).toMatchObject({
    code: 'doctor.list.wrong_end',
    fix: 'ENIGMA_LIST_END=left',
  })
  expect(found['list/enigma:notifications:inbound']).toMatchObject({ state: 'ok' })
  const left = await lookAtRedis(url, { ...env, ENIGMA_LIST_END: 'left' })
  expect(left['list/enigma:notifications:campaign']).toMatchObject({
    state: 'ok',
    text: expect.stringMatching(/\b9 items.*\bleft\b/) as string,
  })
  expect(left).toMatchObject({ rights: { state: 'ok' }, version: { state: 'ok' } })
  await redis.lPush(CAMPAIGNS, cdr(1_700_000_000))
  const both = await lookAtRedis(url, { ENIGMA_LISTS: `enigma:notifications:campaign,${CAMPAIGNS}` })
  expect(both['lists']).toMatchObject({
    code: 'doctor.lists.singular_and_plural',
    text: expect.stringContaining(`enigma:notifications:campaign, ${CAMPAIGNS}`) as string,
  })
  await redis.del(CAMPAIGNS)
  await redis.rPush('enigma:notifications:campaigns:12', ['x', 'not json', '{}'])
  const unnamed = await lookAtRedis(url, {
    ENIGMA_LISTS: 'enigma:notifications:campaign,enigma:notifications:campaigns:12',
  })
  expect(unnamed['lists']).toMatchObject({ state: 'ok' })
  expect(unnamed['list/enigma:notifications:campaigns:12']).toMatchObject({
    state: 'ok',
    text: expect.stringMatching(/\b3 items.*\bdialed_at\b/) as string,
  })
  expect((await lookAtRedis(url))['lists']).toMatchObject({
    code: 'doctor.lists.not_named',
    text: expect.stringContaining('enigma:notifications:campaigns:12 exists with 3 items') as string,
  })
  await redis.lTrim('enigma:notifications:campaigns:12', 0, 0)
  expect((await lookAtRedis(url))['lists']?.text).toContain('enigma:notifications:campaigns:12 exists with 1 item,')
  for (const times of [
    [1, 1],
    [0, 1],
  ]) {
    await redis.del(CAMPAIGNS)
    await redis.rPush(CAMPAIGNS, times.map(cdr))
    expect((await lookAtRedis(url, LISTS))[`list/${CAMPAIGNS}`]?.text).toContain('does not show')
  }
})

test('without the right to SCAN, doctor still finds a list that diallers are known to use', async () => {
  const { url, port } = await useRedisServer()
  const redis = await useRedisClient(url)
  await redis.sendCommand(['ACL', 'SETUSER', 'relay', 'on', '>hunter2', '~*', '&*', '+@all', '-scan'])
  await redis.rPush(CAMPAIGNS, cdr(1))
  const found = await lookAtRedis(`redis://relay:hunter2@127.0.0.1:${port}`)
  expect(found['lists']).toMatchObject({
    code: 'doctor.lists.not_named',
    text: expect.stringContaining(CAMPAIGNS) as string,
  })
})

test('the second of two sources on the same new Redis fails; an unreachable Redis or one without INFO is not taken for a duplicate', async () => {
  const { url } = await useRedisServer()
  const [quiet, silent] = await Promise.all(
    [1, 2].map(() => useRedisServer({ args: ['--rename-command', 'INFO', ''] })),
  )
  const config = readConfig({
    ENIGMA_SOURCES: `away=redis://127.0.0.1:1,one=${url},two=${url.replace('127.0.0.1', 'localhost')},quiet=${quiet?.url},silent=${silent?.url}`,
    ENIGMA_DATA_DIR: await useFolder(),
    AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1',
    AWS_REGION: 'none',
  })
  const found = new Map<string, unknown>()
  for await (const { check, state, code } of examine({ config, routes: ROUTES }))
    if (check.endsWith('/source')) found.set(check, [state, code])
  expect([...found]).toEqual([
    ['redis/one/source', ['ok', undefined]],
    ['redis/two/source', ['fail', 'doctor.source.same_server']],
    ['redis/quiet/source', ['ok', undefined]],
    ['redis/silent/source', ['ok', undefined]],
  ])
})

test('another consumer that blocks on a list is reported with its address; a running relay is not', async () => {
  const { url } = await useRedisServer()
  const redis = await useRedisClient(url)
  const waits = async (command: readonly string[]) => {
    const client = createClient({ url, RESP: 2 })
    client.on('error', () => undefined)
    await client.connect()
    onTestFinished(() => client.destroy())
    client.sendCommand([...command]).catch(() => undefined)
    await waitFor(
      async () => (await redis.sendCommand<string>(['CLIENT', 'LIST'])).includes(`cmd=${command[0]?.toLowerCase()}`),
      command.join(' '),
    )
  }
  expect((await lookAtRedis(url, LISTS))['consumers']?.state).toBe('ok')
  await waits(['BRPOPLPUSH', CAMPAIGNS, 'enigma:relay:waiting:other', '0'])
  // A relay that does not run cannot be the client that waits.
  await redis.zAdd('enigma:relay:relays', { score: 1, value: 'gone' })
  expect((await lookAtRedis(url, LISTS))['consumers']).toMatchObject({
    code: 'doctor.consumers.other_reader',
    text: expect.stringMatching(/127\.0\.0\.1:\d+ \(brpoplpush, waiting\)/) as string,
  })
  await redis.zAdd('enigma:relay:relays', { score: Date.now(), value: 'other' })
  expect((await lookAtRedis(url, LISTS))['consumers']).toMatchObject({ state: 'ok' })
  await waits(['BLPOP', CAMPAIGNS, '0'])
  expect((await lookAtRedis(url, LISTS))['consumers']).toMatchObject({
    code: 'doctor.consumers.other_reader',
    text: expect.stringMatching(/ server: 127\.0\.0\.1:\d+ \(blpop, waiting\); each/) as string,
  })
})

test('a small output buffer and subscribed channels that ENIGMA_CHANNELS does not match are reported', async () => {
  const { url } = await useRedisServer({ args: ['--client-output-buffer-limit', 'pubsub 1mb 512kb 10'] })
  const other = await useRedisClient(url)
  await other.subscribe('enigma:notifications:agent:1002', () => undefined)
  await other.subscribe('enigma:notifications:number:27825550001', () => undefined)
  const found = await lookAtRedis(url, { ENIGMA_CHANNELS: 'enigma:notifications:agents:*' })
  expect(found['output-buffer']).toMatchObject({
    code: 'doctor.output_buffer.small',
    text: expect.stringMatching(/\b1 MiB\b.*\b524288 bytes\b/) as string,
  })
  expect(found['channels']).toMatchObject({
    code: 'doctor.channels.not_matched',
    text: expect.stringContaining('enigma:notifications:agent:1002') as string,
  })
  expect(found['channels']?.text).not.toContain('27825550001')
  expect((await lookAtRedis(url))['channels']).toMatchObject({ state: 'ok' })
})

test('a relay id held by another host, claims of a stopped relay and parked notifications are reported', async () => {
  const { url } = await useRedisServer()
  const redis = await useRedisClient(url)
  const lease = (host: string, pid: number) =>
    redis.set('enigma:relay:lease:test', JSON.stringify({ host, pid, run: 'x' }))
  expect((await lookAtRedis(url))['relay-id']).toMatchObject({ state: 'ok' })
  await lease('elsewhere', 7)
  expect((await lookAtRedis(url))['relay-id']).toMatchObject({
    code: 'doctor.relay_id.held',
    text: expect.stringMatching(/\b7\b.*\belsewhere\b/) as string,
  })
  await redis.set('enigma:relay:lease:test', 'not of this version')
  expect((await lookAtRedis(url))['relay-id']?.code).toBe('doctor.relay_id.held')
  await lease(hostname(), process.pid)
  expect((await lookAtRedis(url))['relay-id']).toMatchObject({ state: 'ok' })
  for (const relay of ['test', 'gone']) {
    await redis.zAdd('enigma:relay:relays', { score: 1, value: relay })
    await redis.hSet(`enigma:relay:claims:${relay}`, { 5: `1:1:${CAMPAIGNS}`, [`waiting:${CAMPAIGNS}`]: '1' })
    await redis.rPush(`enigma:relay:claim:${relay}:5`, ['a', 'b'])
    await redis.rPush(`enigma:relay:waiting:${relay}:${CAMPAIGNS}`, 'c')
  }
  await redis.rPush('enigma:relay:parked', '{}')
  const before = await everythingIn(url)
  const found = await lookAtRedis(url)
  // The relay `test` is running: its claims are in use.
  expect(found['claims']).toMatchObject({
    code: 'doctor.claims.left',
    text: expect.stringMatching(/^3 items are in claims of gone, .*$/) as string,
  })
  expect(found['parked']).toMatchObject({
    code: 'doctor.parked.waiting',
    fix: expect.stringContaining('enigma-relay parked') as string,
  })
  expect((await everythingIn(url)).values).toEqual(before.values)
  await redis.del(['enigma:relay:lease:test', 'enigma:relay:relays'])
  expect((await lookAtRedis(url))['claims']?.text).toMatch(/^3 items are in claims of test, .*$/)
})
