import { hostname } from 'node:os'
import { expect, onTestFinished, test } from 'vitest'
import { createClient } from 'redis'
import { readPidSpace } from '../../src/relay/lease.ts'
import { everythingIn, lookAtRedis } from '../support/doctor.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { waitFor } from '../support/relay.ts'

const CAMPAIGNS = 'enigma:notifications:campaigns'
const LISTS = { ENIGMA_LISTS: CAMPAIGNS }
const cdr = (dialedAt: number) =>
  JSON.stringify({ type: 'cdr', payload: { call_ref: String(dialedAt), dialed_at: dialedAt, number: '27825550001' } })

test('a sound server: every check is ok, the rights are there, the heartbeat is heard, and nothing was changed', async () => {
  const { url } = await useRedisServer({ args: ['--appendonly', 'yes'] })
  const redis = await useRedisClient(url)
  // Pushed on the left: the oldest is on the right.
  for (let at = 1; at <= 20; at++) await redis.lPush(CAMPAIGNS, cdr(1_700_000_000 + at))
  await redis.set('enigma:relay:number', '17')
  const before = await everythingIn(url)
  const found = await lookAtRedis(url, LISTS)
  expect(Object.values(found).filter(({ state }) => state !== 'ok')).toEqual([])
  expect(found[`list/${CAMPAIGNS}`]?.text).toBe('20 items, the oldest on the right')
  expect(found['heartbeat']?.text).toMatch(/^a heartbeat was heard after \d+ ms/)
  expect(found['rights']?.text).toMatch(/^the user default may all \d+ commands/)
  expect(await everythingIn(url)).toEqual(before)
  expect(before.values).toHaveLength(2)
})

test('a server that evicts fails, with the command that mends it; one that is full fails, and is not touched', async () => {
  const { url, port } = await useRedisServer({ args: ['--maxmemory', '8mb', '--maxmemory-policy', 'allkeys-lru'] })
  const redis = await useRedisClient(url)
  expect((await lookAtRedis(url))['memory']).toMatchObject({
    state: 'fail',
    fix: `redis-cli -h 127.0.0.1 -p ${port} CONFIG SET maxmemory-policy noeviction`,
  })
  await redis.configSet('maxmemory-policy', 'volatile-lru')
  expect((await lookAtRedis(url))['memory']).toMatchObject({ state: 'warn' })
  await redis.configSet('maxmemory-policy', 'noeviction')
  expect((await lookAtRedis(url))['memory']).toMatchObject({ state: 'ok' })
  await redis.lPush(CAMPAIGNS, [cdr(2), cdr(1)])
  await redis.configSet('maxmemory', '100kb')
  const before = await everythingIn(url)
  const full = await lookAtRedis(url, LISTS)
  expect(full['memory']).toMatchObject({ state: 'fail', text: expect.stringContaining('Redis is full') as string })
  // It refuses to copy, but the right to is there.
  expect(full['rights']?.state).toBe('ok')
  expect(await everythingIn(url)).toEqual(before)
})

test('persistence: none and snapshots only are said, an append-only file is well, a snapshot that failed fails', async () => {
  const { url } = await useRedisServer({ args: ['--enable-protected-configs', 'yes'] })
  const redis = await useRedisClient(url)
  expect((await lookAtRedis(url))['persistence']).toMatchObject({
    state: 'warn',
    text: expect.stringMatching(/^none/) as string,
    fix: expect.stringMatching(
      /^redis-cli -h \S+ -p \d+ CONFIG SET appendonly yes && redis-cli -h \S+ -p \d+ CONFIG REWRITE$/,
    ) as string,
  })
  await redis.configSet('save', '900 1')
  expect((await lookAtRedis(url))['persistence']?.text).toMatch(/^snapshots only \(save 900 1\)/)
  await redis.configSet('dbfilename', 'x'.repeat(300))
  await redis.set('a', '1')
  await redis.sendCommand(['BGSAVE']).catch(() => undefined)
  await waitFor(
    async () => (await redis.info('persistence')).includes('rdb_last_bgsave_status:err'),
    'a snapshot that failed',
  )
  expect(await lookAtRedis(url)).toMatchObject({
    answer: { state: 'ok' },
    persistence: { state: 'fail', text: expect.stringContaining('refuses writes') as string },
  })
  // Else it would not end: it cannot save.
  await redis.configSet('save', '')
})

test('a replica fails and names the primary', async () => {
  const primary = await useRedisServer({ args: ['--repl-diskless-sync-delay', '0'] })
  const { url } = await useRedisServer({ args: ['--replicaof', `127.0.0.1 ${primary.port}`] })
  const redis = await useRedisClient(url)
  await waitFor(async () => (await redis.info('replication')).includes('master_link_status:up'), 'the replica')
  expect((await lookAtRedis(url))['role']).toMatchObject({
    state: 'fail',
    fix: `ENIGMA_SOURCES=main=redis://127.0.0.1:${primary.port}`,
  })
  expect((await lookAtRedis(primary.url))['role']).toMatchObject({ state: 'ok', text: 'a primary with 1 replica' })
})

test('lists: the wrong type, the other end, the singular, one that is not named', async () => {
  const { url } = await useRedisServer()
  const redis = await useRedisClient(url)
  await redis.set('enigma:notifications:cdr', 'x')
  // Pushed on the right: the oldest is on the left.
  for (let at = 1; at <= 9; at++) await redis.rPush('enigma:notifications:campaign', cdr(1_700_000_000 + at))
  const env = {
    ENIGMA_LISTS: `${CAMPAIGNS},enigma:notifications:cdr,enigma:notifications:campaign,enigma:notifications:inbound`,
  }
  const found = await lookAtRedis(url, env)
  expect(found[`list/${CAMPAIGNS}`]).toMatchObject({
    state: 'warn',
    text: 'nothing is there, but enigma:notifications:campaign is, with 9 items',
  })
  expect(found['list/enigma:notifications:cdr']).toMatchObject({
    state: 'fail',
    text: 'holds a string, no list: nothing can be taken from it',
  })
  expect(found['list/enigma:notifications:campaign']).toMatchObject({ state: 'warn', fix: 'ENIGMA_LIST_END=left' })
  expect(found['list/enigma:notifications:inbound']).toMatchObject({ state: 'ok', text: 'empty: nothing waits on it' })
  const left = await lookAtRedis(url, { ...env, ENIGMA_LIST_END: 'left' })
  expect(left['list/enigma:notifications:campaign']).toMatchObject({
    state: 'ok',
    text: '9 items, the oldest on the left',
  })
  expect(left).toMatchObject({ rights: { state: 'ok' }, version: { state: 'ok' } })
  await redis.lPush(CAMPAIGNS, cdr(1_700_000_000))
  const both = await lookAtRedis(url, { ENIGMA_LISTS: `enigma:notifications:campaign,${CAMPAIGNS}` })
  expect(both['lists']).toMatchObject({
    state: 'warn',
    text: expect.stringContaining(
      `singular and plural are both in use: enigma:notifications:campaign, ${CAMPAIGNS}`,
    ) as string,
  })
  await redis.del(CAMPAIGNS)
  await redis.rPush('enigma:notifications:campaigns:12', ['x', 'not json', '{}'])
  const unnamed = await lookAtRedis(url, {
    ENIGMA_LISTS: 'enigma:notifications:campaign,enigma:notifications:campaigns:12',
  })
  expect(unnamed['lists']).toMatchObject({ state: 'ok' })
  expect(unnamed['list/enigma:notifications:campaigns:12']?.text).toBe(
    '3 items; which end has the oldest cannot be told by dialed_at',
  )
  expect((await lookAtRedis(url))['lists']).toMatchObject({
    state: 'warn',
    text: expect.stringContaining('not named in ENIGMA_LISTS') as string,
  })
})

test('another consumer that waits on a list is seen, with its address; a relay that waits is none', async () => {
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
  expect((await lookAtRedis(url, LISTS))['consumers']).toMatchObject({
    state: 'warn',
    text: expect.stringMatching(/127\.0\.0\.1:\d+ \(brpoplpush, waiting\)/) as string,
  })
  await redis.zAdd('enigma:relay:relays', { score: Date.now(), value: 'other' })
  expect((await lookAtRedis(url, LISTS))['consumers']).toMatchObject({
    state: 'ok',
    text: expect.stringContaining('but for a relay') as string,
  })
  await waits(['BLPOP', CAMPAIGNS, '0'])
  expect((await lookAtRedis(url, LISTS))['consumers']).toMatchObject({
    state: 'warn',
    text: expect.stringMatching(/127\.0\.0\.1:\d+ \(blpop, waiting\)/) as string,
  })
})

test('a small output buffer, and channels that others listen to and ENIGMA_CHANNELS does not match', async () => {
  const { url } = await useRedisServer({ args: ['--client-output-buffer-limit', 'pubsub 1mb 512kb 10'] })
  const other = await useRedisClient(url)
  await other.subscribe('enigma:notifications:agent:1002', () => undefined)
  const found = await lookAtRedis(url, { ENIGMA_CHANNELS: 'enigma:notifications:agents:*' })
  expect(found['output-buffer']).toMatchObject({
    state: 'warn',
    text: expect.stringContaining(
      '1 MiB may wait for a client that listens, 524288 bytes for 10 s; 1 client listens now',
    ) as string,
  })
  expect(found['channels']).toMatchObject({
    state: 'warn',
    text: 'others listen to what ENIGMA_CHANNELS does not match: enigma:notifications:agent:1002',
  })
  expect((await lookAtRedis(url))['channels']).toMatchObject({ state: 'ok' })
})

test('the relay id of another host, claims of a relay that is gone, and parked notifications are said', async () => {
  const { url } = await useRedisServer()
  const redis = await useRedisClient(url)
  const lease = (host: string, pid: number) =>
    redis.set('enigma:relay:lease:test', JSON.stringify({ host, pid, pidSpace: readPidSpace(), run: 'x' }))
  expect((await lookAtRedis(url))['relay-id']).toMatchObject({
    state: 'ok',
    text: 'test is free: no relay runs under it',
  })
  await lease('elsewhere', 7)
  expect((await lookAtRedis(url))['relay-id']).toMatchObject({
    state: 'warn',
    text: expect.stringContaining('process 7 on host elsewhere') as string,
  })
  await lease(hostname(), process.pid)
  expect((await lookAtRedis(url))['relay-id']).toMatchObject({
    state: 'ok',
    text: expect.stringContaining('the relay runs') as string,
  })
  for (const relay of ['test', 'gone']) {
    await redis.zAdd('enigma:relay:relays', { score: 1, value: relay })
    await redis.hSet(`enigma:relay:claims:${relay}`, { 5: `1:1:${CAMPAIGNS}`, [`waiting:${CAMPAIGNS}`]: '1' })
    await redis.rPush(`enigma:relay:claim:${relay}:5`, ['a', 'b'])
    await redis.rPush(`enigma:relay:waiting:${relay}:${CAMPAIGNS}`, 'c')
  }
  await redis.rPush('enigma:relay:parked', '{}')
  const before = await everythingIn(url)
  const found = await lookAtRedis(url)
  // The one that lives has its own claims under way.
  expect(found['claims']).toMatchObject({
    state: 'warn',
    text: '3 items are in claims of gone, which does not run: the next relay that does sends them',
  })
  expect(found['parked']).toMatchObject({ state: 'warn', text: '1 notification is parked', fix: 'enigma-relay parked' })
  expect((await everythingIn(url)).values).toEqual(before.values)
})
