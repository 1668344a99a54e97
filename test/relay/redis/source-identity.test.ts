import { expect, test } from 'vitest'
import { SOURCE_KEY } from '../../../src/relay/redis/relay-keys.ts'
import { createServers, createIdentity } from '../../../src/relay/redis/source-identity.ts'
import { examine } from '../../../src/relay/doctor/doctor.ts'
import { readConfig } from '../../../src/relay/index.ts'
import { captureLog } from '../../support/log.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRelayRedis } from '../../support/relay-redis.ts'
import { receiveAll, useRelay, waitFor } from '../../support/relay.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useSqs } from '../../support/sqs.ts'
import { ROUTES } from '../../support/routes.ts'

const LIST = 'enigma:notifications:campaigns'
const cdr = (ref: number) => `{"type":"cdr","payload":{"call_ref":"${ref}"}}`
const parts = async (address: string) =>
  ((await (await fetch(`${address}/readyz`)).json()) as { parts: Record<string, { ok: boolean; reason?: string }> })
    .parts

/** The identity check of a source, step by step, with a clock that the test controls. */
async function useIdentity(url: string, id: string, servers = createServers([])) {
  const client = await useRelayRedis(url)
  const clock = { nowMs: 1_764_000_000_000, connections: 1 }
  const capture = captureLog()
  const identity = createIdentity({
    client,
    source: { id, url },
    servers,
    connections: () => clock.connections,
    nameRights: () => Promise.resolve(),
    log: capture.log,
    now: () => clock.nowMs,
  })
  return { identity, clock, coded: capture.coded }
}

const refused = expect.objectContaining({ code: 'relay.source.refused' }) as unknown

test('a Redis that is configured as several sources is read by one of them; doctor reports the same', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqs()]
  const client = await useRedisClient(redis.url)
  const first = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST] })
  await first.stop()
  expect(await client.get(SOURCE_KEY)).toBe('main')
  const proxy = await useProxy(redis.port)
  const env = { ENIGMA_SOURCES: `again=redis://localhost:${proxy.port},main=${redis.url},other=${redis.url}/1` }
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST], env })
  await waitFor(
    async () => Object.keys(await parts(relay.address)).includes('source:other'),
    'the others to be refused',
  )
  const found = await parts(relay.address)
  for (const id of ['again', 'other'])
    expect(found[`source:${id}`]).toMatchObject({
      ok: false,
      reason: expect.stringContaining(`"${id}" and "main" are the same Redis`) as string,
    })
  expect(found).toMatchObject({ 'pubsub:main': { ok: true }, 'redis:again': { ok: true } })
  expect(relay.lines.filter((line) => line.includes('relay.source.same_server'))).toHaveLength(2)
  await client.lPush(LIST, [cdr(1), cdr(2)])
  await client.publish('enigma:notifications:agents:1', '{"type":"stats","payload":{"ref":"1"}}')
  const ids = (await receiveAll(sqs, 'campaigns-cdr', 2)).map(({ source }) => source)
  expect(ids).toEqual(['/enigma/main', '/enigma/main'])
  expect(await receiveAll(sqs, 'agents-stats', 1)).toMatchObject([{ source: '/enigma/main' }])
  await expect(receiveAll(sqs, 'agents-stats', 1, 500)).rejects.toThrow(/came 0/)
  const findings = []
  const config = readConfig({ ...env, AWS_REGION: 'none', AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1' })
  for await (const { check, code } of examine({ config, routes: ROUTES }))
    if (check.endsWith('/source')) findings.push([check, code])
  expect(findings).toEqual([
    ['redis/again/source', 'doctor.source.same_server'],
    ['redis/main/source', undefined],
    ['redis/other/source', 'doctor.source.same_server'],
  ])
  // If Redis comes back empty, the relay that reads it writes the source id again.
  await client.flushAll()
  await waitFor(async () => (await client.get(SOURCE_KEY)) === 'main', 'the name to be written again')
})

test('a relay whose source id differs from the stored one reads nothing and reports the stored one; doctor reports the same', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqs()]
  const client = await useRedisClient(redis.url)
  await client.set(SOURCE_KEY, 'main')
  await client.lPush(LIST, cdr(1))
  const env = { ENIGMA_SOURCES: `dialler=${redis.url}` }
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST], env })
  const { reason } = (await parts(relay.address))['source:dialler'] ?? {}
  expect(reason).toContain(`write main=${redis.url} in ENIGMA_SOURCES`)
  expect(reason).toContain(`redis-cli -h 127.0.0.1 -p ${redis.port} DEL ${SOURCE_KEY}`)
  expect(relay.lines.filter((line) => line.includes('relay.source.other_name'))).toHaveLength(1)
  expect((await client.keys('*')).toSorted()).toEqual([LIST, SOURCE_KEY])
  const config = readConfig({ ...env, AWS_REGION: 'none', AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1' })
  const findings = []
  for await (const { check, code } of examine({ config, routes: ROUTES }))
    if (check.endsWith('/source')) findings.push([check, code])
  expect(findings).toEqual([['redis/dialler/source', 'doctor.source.other_name']])
  // The relay reads the source as soon as the stored id matches, without a restart.
  await client.set(SOURCE_KEY, 'dialler')
  expect(await receiveAll(sqs, 'campaigns-cdr', 1)).toMatchObject([{ source: '/enigma/dialler' }])
  await waitFor(async () => !Object.keys(await parts(relay.address)).includes('source:dialler'), 'it to be ready')
  // Another server at the same address.
  await client.set(SOURCE_KEY, 'other')
  await waitFor(async () => Object.keys(await parts(relay.address)).includes('source:dialler'), 'it to be refused')
  await client.lPush(LIST, cdr(2))
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(await client.lLen(LIST)).toBe(1)
})

test('the source that read a server restores its lost id at once, and a refused source writes its own only later', async () => {
  const { url } = await useRedisServer()
  const client = await useRedisClient(url)
  const [own, wrong] = [await useIdentity(url, 'main'), await useIdentity(url, 'dialler')]
  await own.identity.check()
  await expect(wrong.identity.check()).rejects.toThrow(refused)
  await client.flushAll()
  await expect(wrong.identity.check()).rejects.toThrow(refused)
  wrong.clock.nowMs += 9_000
  await expect(wrong.identity.check()).rejects.toThrow(refused)
  expect(await client.exists(SOURCE_KEY)).toBe(0)
  await own.identity.check()
  expect(await client.get(SOURCE_KEY)).toBe('main')
  // Renamed on purpose: no source writes the old id again.
  await client.del(SOURCE_KEY)
  await expect(wrong.identity.check()).rejects.toThrow(refused)
  wrong.clock.nowMs += 11_000
  await wrong.identity.check()
  expect([await client.get(SOURCE_KEY), wrong.identity.isVerified()]).toEqual(['dialler', true])
  expect([wrong.coded('relay.source.other_name').length, wrong.coded('relay.source.admitted').length]).toEqual([1, 1])
})

test('the stored source id includes the database, and is stored where the relays of all databases find it', async () => {
  const { url } = await useRedisServer()
  const client = await useRedisClient(url)
  const inSecond = await useIdentity(`${url}/1`, 'main')
  await inSecond.identity.check()
  expect(await client.get(SOURCE_KEY)).toBe('main/1')
  const { identity, coded } = await useIdentity(url, 'main')
  await expect(identity.check()).rejects.toThrow(refused)
  expect(coded('relay.source.other_database')).toHaveLength(1)
  expect(identity.refusal?.fix).toContain(`main=${url}/1`)
  // Commands to the second database still go to that database.
  const second = await useRelayRedis(`${url}/1`)
  await inSecond.identity.check()
  await second.set('a', '1')
  expect(await client.exists('a')).toBe(0)
})

test('a replica, which cannot store a source id, is read by one source of the relay; without INFO only a replicated id decides', async () => {
  const primary = await useRedisServer({ args: ['--repl-diskless-sync-delay', '0'] })
  const { url } = await useRedisServer({ args: ['--replicaof', `127.0.0.1 ${primary.port}`] })
  const replica = await useRedisClient(url)
  await waitFor(async () => (await replica.info('replication')).includes('master_link_status:up'), 'the replica')
  const servers = createServers([])
  const [one, other] = [
    await useIdentity(url, 'one', servers),
    await useIdentity(url.replace('127.0.0.1', 'localhost'), 'other', servers),
  ]
  await one.identity.check()
  await expect(other.identity.check()).rejects.toThrow(refused)
  expect(other.coded('relay.source.same_server')).toHaveLength(1)
  // Without the right to INFO, only the stored source id identifies the server.
  await replica.sendCommand(['ACL', 'SETUSER', 'bare', 'on', '>x', '~*', '&*', '+@all', '-info'])
  const bare = await useIdentity(url.replace('redis://', 'redis://bare:x@'), 'other')
  await bare.identity.check()
  await (await useRedisClient(primary.url)).set(SOURCE_KEY, 'one')
  await waitFor(async () => (await replica.get(SOURCE_KEY)) === 'one', 'the name to be replicated')
  await expect(bare.identity.check()).rejects.toThrow(refused)
})
