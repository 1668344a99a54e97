import { expect, test } from 'vitest'
import { claimPrefix, claimsKey, NUMBER_KEY, settledKey } from '../../../src/relay/redis/relay-keys.ts'
import { useRedisServer } from '../../support/redis.ts'
import { waitFor } from '../../support/relay.ts'
import { itemAt, itemsOf, textsOf, useClaims, useRelayRedis } from '../../support/relay-redis.ts'

const LIST = 'enigma:notifications:campaigns'
const BIG = 1_000_000

/** Takes three claims: 600 items, two items with the first one settled, and bytes that are not text. */
async function useTaken() {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url, { now: () => 7_000 })
  const many = Array.from({ length: 600 }, (_, n) => String(n))
  await client.lPush(LIST, [...many, 'first', 'second'])
  const taken = [await claims.take(LIST, 600, BIG), await claims.take(LIST, 2, BIG)]
  await client.lPush(LIST, Buffer.from([0, 0xff, 0x0d]))
  taken.push(await claims.take(LIST, 1, BIG))
  taken[1]?.claim.acknowledger.settle(itemAt(0))
  return { url, client, claims, many, taken: taken.map((part) => part?.claim) }
}

test('G1: claims that Redis lost are written back: the next process finds their unsettled items, times and numbers', async () => {
  const { url, client, claims, many, taken } = await useTaken()
  await client.flushAll()
  expect(await claims.writeBack()).toBe(3)
  expect(await client.get(NUMBER_KEY)).toBe('7002')
  const next = await useClaims(url)
  expect((await next.claims.unknown()).map(({ number }) => number)).toEqual([7_000, 7_001, 7_002])
  const adopted = await Promise.all([7_000, 7_001, 7_002].map((number) => next.claims.adopt(number)))
  expect(adopted.map(textsOf)).toEqual([many, ['second'], [String(Buffer.from([0, 0xff, 0x0d]))]])
  expect([...(adopted[1]?.items.keys() ?? [])]).toEqual([1])
  expect([...itemsOf(adopted[2]).values()]).toEqual([Buffer.from([0, 0xff, 0x0d])])
  for (const [index, claim] of adopted.entries())
    expect(claim).toMatchObject({ list: LIST, takenMs: 7_000, maxWaitMs: taken[index]?.maxWaitMs })
})

test('write-back does not change claims that Redis still has, even when it runs twice at once', async () => {
  const { client, claims } = await useTaken()
  expect(await claims.writeBack()).toBe(0)
  await client.del([claimsKey('test'), `${claimPrefix('test')}7000`])
  const [one, two] = await Promise.all([claims.writeBack(), claims.writeBack()])
  expect([one, two]).toEqual([3, 3])
  expect(await client.lLen(`${claimPrefix('test')}7000`)).toBe(600)
  expect(await claims.writeBack()).toBe(0)
  // A script whose reply was lost wrote the claim between the check and the write.
  const late = {
    registry: claimsKey('test'),
    claim: `${claimPrefix('test')}7000`,
    settled: settledKey('test', 7_000),
    number: 7_000,
    meta: `7000:-1:${LIST}`,
    field: `waiting:${LIST}`,
    generation: '',
    rest: [Buffer.from('another')],
  }
  expect(await client.writeBack(late)).toBe(0)
  expect(await client.lLen(`${claimPrefix('test')}7000`)).toBe(600)
  expect(await client.exists(settledKey('test', 7_000))).toBe(0)
})

test('a claim settled while it is written back leaves nothing in Redis, even if the server does not know the script yet', async () => {
  const { client, claims, many, taken } = await useTaken()
  const onlooker = await useRelayRedis(client.options.url ?? '')
  await client.flushAll()
  await onlooker.sendCommand(['SCRIPT', 'FLUSH'])
  const writing = claims.writeBack()
  // The first query is answered, and the writes are on their way.
  await client.ping()
  for (const index of many.keys()) taken[0]?.acknowledger.settle(itemAt(index))
  taken[1]?.acknowledger.settle(itemAt(1))
  taken[2]?.acknowledger.settle(itemAt(0))
  await writing
  await claims.flush()
  await waitFor(async () => (await client.keys('enigma:relay:claim:*')).length === 0, 'the claims to be deleted')
  expect(await claims.unknown()).toEqual([])
})

test('claims are written back even to a full server', async () => {
  const { client, claims } = await useTaken()
  await client.flushAll()
  await client.configSet('maxmemory', '1')
  await expect(client.set('any', 'value')).rejects.toThrow(/OOM/)
  expect(await claims.writeBack()).toBe(3)
})

test('an orderly stop writes lost claims back first', async () => {
  const { url, client, claims } = await useTaken()
  await client.flushAll()
  await claims.finish()
  const next = await useClaims(url)
  expect((await next.claims.unknown()).map(({ number }) => number)).toEqual([7_000, 7_001, 7_002])
  expect(itemsOf(await next.claims.adopt(7_001))).toEqual(new Map([[1, Buffer.from('second')]]))
})

test('a process that has lost the relay id writes nothing back, because the next process may have sent the items', async () => {
  const { url, client, claims } = await useTaken()
  const next = await useClaims(url)
  await next.claims.beginGeneration(LIST)
  await client.hDel(claimsKey('test'), '7000')
  expect(await claims.writeBack()).toBe(0)
  expect(await client.hExists(claimsKey('test'), '7000')).toBe(0)
})
