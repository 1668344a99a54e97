import { expect, test } from 'vitest'
import { claimPrefix, claimsKey, NUMBER_KEY, settledKey } from '../../../src/relay/redis/relay-keys.ts'
import { useRedisServer } from '../../support/redis.ts'
import { waitFor } from '../../support/relay.ts'
import { itemAt, itemsOf, textsOf, useClaims, useRelayRedis } from '../../support/relay-redis.ts'

const LIST = 'enigma:notifications:campaigns'
const BIG = 1_000_000

/** Claims of a living process: of 600 items, of two items of which the first is settled, and of bytes that are no text. */
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

test('G1: claims that Redis has lost are there again, as they were: the next process finds items, times and numbers, and not what was sent', async () => {
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

test('what is in Redis is left as it is, also by two at once', async () => {
  const { client, claims } = await useTaken()
  expect(await claims.writeBack()).toBe(0)
  await client.del([claimsKey('test'), `${claimPrefix('test')}7000`])
  const [one, two] = await Promise.all([claims.writeBack(), claims.writeBack()])
  expect([one, two]).toEqual([3, 3])
  expect(await client.lLen(`${claimPrefix('test')}7000`)).toBe(600)
  expect(await claims.writeBack()).toBe(0)
  // Written between the look and the write, by a script whose answer was cut.
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

test('a claim that is settled while it is written back leaves nothing, also when the server has to learn the script first', async () => {
  const { client, claims, many, taken } = await useTaken()
  const onlooker = await useRelayRedis(client.options.url ?? '')
  await client.flushAll()
  await onlooker.sendCommand(['SCRIPT', 'FLUSH'])
  const writing = claims.writeBack()
  // The answer to what it asks first has come, and what it writes is on its way.
  await client.ping()
  for (const index of many.keys()) taken[0]?.acknowledger.settle(itemAt(index))
  taken[1]?.acknowledger.settle(itemAt(1))
  taken[2]?.acknowledger.settle(itemAt(0))
  await writing
  await claims.flush()
  await waitFor(async () => (await client.keys('enigma:relay:claim:*')).length === 0, 'the claims to be deleted')
  expect(await claims.unknown()).toEqual([])
})

test('a server that is full takes them back all the same', async () => {
  const { client, claims } = await useTaken()
  await client.flushAll()
  await client.configSet('maxmemory', '1')
  await expect(client.set('any', 'value')).rejects.toThrow(/OOM/)
  expect(await claims.writeBack()).toBe(3)
})

test('an orderly end writes them before it goes', async () => {
  const { url, client, claims } = await useTaken()
  await client.flushAll()
  await claims.finish()
  const next = await useClaims(url)
  expect((await next.claims.unknown()).map(({ number }) => number)).toEqual([7_000, 7_001, 7_002])
  expect(itemsOf(await next.claims.adopt(7_001))).toEqual(new Map([[1, Buffer.from('second')]]))
})

test('a process that has lost the relay id writes nothing back: the next one has sent it', async () => {
  const { url, client, claims } = await useTaken()
  const next = await useClaims(url)
  await next.claims.beginGeneration(LIST)
  await client.hDel(claimsKey('test'), '7000')
  expect(await claims.writeBack()).toBe(0)
  expect(await client.hExists(claimsKey('test'), '7000')).toBe(0)
})
