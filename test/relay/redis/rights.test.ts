import { expect, test } from 'vitest'
import { NUMBER_KEY, RELAYS_KEY, createNumbers, scripts } from '../../../src/relay/redis/relay-keys.ts'
import { createRelayAdoption } from '../../../src/relay/lists/adoption.ts'
import { readConfig } from '../../../src/relay/index.ts'
import { listNeeds } from '../../../src/relay/redis/rights.ts'
import { captureLog } from '../../support/log.ts'
import { textsOf, useClaims, useRelayRedis } from '../../support/relay-redis.ts'
import { receiveAll, useRelay, waitFor } from '../../support/relay.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useSqs } from '../../support/sqs.ts'

const LIST = 'enigma:notifications:campaigns'
const cdr = (ref: number) => `{"type":"cdr","payload":{"call_ref":"${ref}"}}`

/** A server with a user whose rights the tests remove and restore. */
async function useUser(args: readonly string[] = []) {
  const { url, port } = await useRedisServer({ args })
  const redis = await useRedisClient(url)
  const set = (...rules: string[]) => redis.sendCommand(['ACL', 'SETUSER', 'relay', ...rules])
  await set('on', '>hunter2', '~enigma:*', '&*', '+@all', '-acl')
  /** The keys that hold copies of items or refer to them. */
  const copies = async () =>
    (await redis.keys('enigma:relay:*')).filter((key) => /^enigma:relay:(claims?|waiting|parked)/.test(key))
  return { redis, set, copies, url: `redis://relay:hunter2@127.0.0.1:${port}` }
}

test('a relay without a required right takes and copies nothing and names the right; once it has it, each item arrives once', async () => {
  const [{ redis, set, copies, url }, sqs] = [await useUser(), await useSqs()]
  await set('-ltrim', '-sadd')
  await redis.lPush(LIST, [cdr(1), cdr(2)])
  const relay = await useRelay({ redisUrl: url, endpoint: sqs.endpoint, lists: [LIST] })
  const failed = () => relay.coded('relay.list.failed').map(({ error, msg }) => `${String(error)} ${msg}`)
  await waitFor(() => failed().length > 0, 'it to be said')
  expect(failed()).toEqual([expect.stringContaining('LTRIM, SADD')])
  expect(failed()[0]).toContain('ACL SETUSER relay +ltrim +sadd')
  // It tries again and again.
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(await copies()).toEqual([])
  expect(await redis.lRange(LIST, 0, -1)).toEqual([cdr(2), cdr(1)])
  // Other rights are taken while it runs: between takes, and before the next one.
  await set('+ltrim', '+sadd')
  const first = await receiveAll(sqs, 'campaigns-cdr', 2)
  await set('-rpush', '-rename')
  await redis.lPush(LIST, [cdr(3), cdr(4)])
  await waitFor(() => failed().some((line) => line.includes('RENAME, RPUSH')), 'it to be said')
  // At most one item is where a blocking move left it.
  expect((await copies()).filter((key) => key.includes('claim:'))).toEqual([])
  await set('+rpush', '+rename')
  const second = await receiveAll(sqs, 'campaigns-cdr', 2)
  const ids = [...first, ...second].map(({ id }) => id)
  expect(new Set(ids).size).toBe(4)
  await waitFor(
    async () => (await copies()).every((key) => key.startsWith('enigma:relay:claims:')),
    'all to be settled',
  )
  expect(await redis.lLen(LIST)).toBe(0)
})

test('a command that is renamed away is named, and nothing is copied', async () => {
  const [{ redis, copies, url }, sqs] = [await useUser(['--rename-command', 'LTRIM', '']), await useSqs()]
  await redis.lPush(LIST, cdr(1))
  const relay = await useRelay({ redisUrl: url, endpoint: sqs.endpoint, lists: [LIST] })
  await waitFor(
    () => relay.coded('relay.list.failed').some(({ error }) => String(error).includes('LTRIM')),
    'it to be said',
  )
  expect(await copies()).toEqual([])
})

test('a take without the right to any one of its commands takes and copies nothing', async () => {
  const { redis, set, copies, url } = await useUser()
  const { claims } = await useClaims(url)
  await redis.lPush(LIST, [cdr(1), cdr(2)])
  await redis.lPush('enigma:relay:waiting:test:enigma:notifications:campaigns', 'waits')
  await claims.beginGeneration(LIST)
  const before = await copies()
  for (const command of ['ltrim', 'rpush', 'hset', 'hdel', 'del', 'set', 'get', 'lrange']) {
    await set(`-${command}`)
    await expect(claims.take(LIST, 500, 1_000_000), command).rejects.toThrow(/can't run this command|no permissions/)
    expect([command, await copies(), await redis.lLen(LIST)]).toEqual([command, before, 2])
    await set(`+${command}`)
  }
  // The list alone may not be written.
  await set('resetkeys', '~enigma:relay:*', `%R~${LIST}`)
  await expect(claims.take(LIST, 500, 1_000_000)).rejects.toThrow(/NOPERM|can't access/)
  expect(await copies()).toEqual(before)
  await set('resetkeys', '~enigma:*')
  expect(textsOf((await claims.take(LIST, 500, 1_000_000))?.claim)).toEqual(['waits', cdr(1), cdr(2)])
})

test('an adoption without the right to any one of its commands loses nothing, and is completed once it has the right', async () => {
  const { redis, set, url } = await useUser()
  const client = await useRelayRedis(url)
  const gone = 'enigma:relay:waiting:gone:enigma:notifications:campaigns'
  const leave = async () => {
    await redis.flushAll()
    await redis.zAdd(RELAYS_KEY, { score: Date.now(), value: 'gone' })
    await redis.hSet('enigma:relay:claims:gone', { 5: `1:1:${LIST}`, [`waiting:${LIST}`]: '1' })
    await redis.rPush('enigma:relay:claim:gone:5', ['a', 'b'])
    await redis.sAdd('enigma:relay:claim:gone:5:settled', '0')
    await redis.rPush(gone, 'c')
    await redis.set('enigma:relay:lease:test', 'test')
  }
  const adoption = createRelayAdoption({
    client,
    relayId: 'test',
    numbers: createNumbers({ client, now: Date.now }),
    log: captureLog().log,
    now: Date.now,
    lease: { holder: 'test', steadyMs: () => 10_000, hasOurJournal: () => false },
  })
  /** Adopts, and resolves with the number of entries in the registry of this relay. */
  const adopt = async () => {
    const { failure } = await adoption.checkOthers()
    if (failure !== undefined) throw failure
    return redis.hLen('enigma:relay:claims:test')
  }
  const keys = async () => (await redis.keys('enigma:relay:*')).filter((key) => key !== NUMBER_KEY).toSorted()
  const items = (claim: string) => redis.lRange(`enigma:relay:claim:${claim}`, 0, -1)
  for (const command of 'rename hset hdel del rpush set lrange hget hgetall exists get zrange'.split(' ')) {
    await leave()
    const before = await keys()
    await set(`-${command}`)
    await expect(adopt(), command).rejects.toThrow(/can't run this command|no permissions/)
    // A claim is moved as a whole, and what waits stays where it is.
    const isMoved = ['rpush', 'set', 'lrange'].includes(command)
    if (!isMoved)
      expect([command, await keys(), await redis.hLen('enigma:relay:claims:gone')]).toEqual([command, before, 2])
    expect([command, await items(isMoved ? 'test:5' : 'gone:5')]).toEqual([command, ['a', 'b']])
    expect([command, await redis.lRange(gone, 0, -1)]).toEqual([command, ['c']])
    await set(`+${command}`)
    expect([command, await adopt()]).toEqual([command, 2])
    const numbers = await redis.hKeys('enigma:relay:claims:test')
    const all = await Promise.all(numbers.map((number) => items(`test:${number}`)))
    expect([command, all.flat().toSorted()]).toEqual([command, ['a', 'b', 'c']])
    expect(await redis.sMembers('enigma:relay:claim:test:5:settled')).toEqual(['0'])
    expect(await redis.exists([gone, 'enigma:relay:claim:gone:5'])).toBe(0)
  }
})

test('compacting without a required right leaves the claim unchanged, and parking without one leaves no entry', async () => {
  const { redis, set, url } = await useUser()
  const { claims, client } = await useClaims(url)
  await redis.lPush(LIST, [cdr(1), cdr(2), cdr(3)])
  const number = (await claims.take(LIST, 500, 1_000_000))?.claim.number ?? 0
  const [registry, key] = ['enigma:relay:claims:test', `enigma:relay:claim:test:${number}`]
  const before = [await redis.lRange(key, 0, -1), await redis.hGet(registry, String(number))]
  const compact = () => client.compact({ registry, claim: key, number, rest: [1] })
  for (const command of ['rpush', 'rename', 'hset', 'hdel', 'del', 'lindex']) {
    await set(`-${command}`)
    await expect(compact(), command).rejects.toThrow(/can't run this command/)
    expect([await redis.lRange(key, 0, -1), await redis.hGet(registry, String(number))]).toEqual(before)
    await set(`+${command}`)
  }
  expect(await compact()).toBe(1)
  expect(await redis.lRange(key, 0, -1)).toEqual([cdr(2)])
  const park = () =>
    client.park({ settled: `${key}:settled`, registry, entry: '{}', index: 1, claim: number, most: 10 })
  for (const command of ['sadd', 'rpush', 'ltrim', 'hexists']) {
    await set(`-${command}`)
    await expect(park(), command).rejects.toThrow(/can't run this command/)
    expect([command, await redis.lLen('enigma:relay:parked')]).toEqual([command, 0])
    await set(`+${command}`)
  }
  expect([await park(), await redis.sMembers(`${key}:settled`)]).toEqual([1, ['1']])
})

test('the required rights include every command that the scripts use', () => {
  const config = readConfig({ ENIGMA_LISTS: LIST, AWS_REGION: 'none' })
  const asked = new Set([...listNeeds(config, 'k').map(({ command }) => command[0]), 'RPUSH', 'SADD'])
  // Only for a source in another database than 0.
  asked.add('SELECT')
  const used = Object.values(scripts).flatMap(({ SCRIPT }) =>
    [...SCRIPT.matchAll(/redis\.p?call\('([A-Z]+)'/g)].map(([, command]) => command),
  )
  expect(used.length).toBeGreaterThan(50)
  expect(used.filter((command) => !asked.has(command))).toEqual([])
})
