import { expect, test, vi } from 'vitest'
import { MAX_WAIT_MS } from '../../src/protocol/index.ts'
import { claimPrefix, claimsKey, NUMBER_KEY, PARKED_KEY, waitingKey } from '../../src/relay/keys.ts'
import { useRedisServer } from '../support/redis.ts'
import { waitFor } from '../support/relay.ts'
import { itemAt, useClaims, useRelayRedis } from '../support/relay-redis.ts'

const LIST = 'enigma:notifications:campaigns'
const BIG = 1_000_000

const texts = (taken: { claim: { items: readonly (Buffer | undefined)[] } } | undefined) =>
  taken?.claim.items.map((item) => item?.toString())

test.each([
  ['right', ['1', '2', '3'], ['5', '4']],
  ['left', ['5', '4', '3'], ['2', '1']],
] as const)('from the %s end items come in the order in which they are to go', async (listEnd, first, rest) => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url, { listEnd })
  for (const item of ['1', '2', '3', '4', '5']) await client.lPush(LIST, item)
  const taken = await claims.take(LIST, 3, BIG)
  expect(texts(taken)).toEqual(first)
  expect(taken?.left).toBe(2)
  expect(await client.lRange(LIST, 0, -1)).toEqual(rest)
  expect(await client.lRange(claimPrefix('test') + String(taken?.claim.number), 0, -1)).toEqual(first)
  expect(texts(await claims.take(LIST, 10, BIG))).toEqual(listEnd === 'right' ? ['4', '5'] : ['2', '1'])
  expect(await claims.take(LIST, 10, BIG)).toBeUndefined()
})

test('items come as the bytes that were pushed', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  const bytes = Buffer.from([0, 0xff, 0x0d, 0x0a, 0x80])
  await client.lPush(LIST, bytes)
  expect((await claims.take(LIST, 10, BIG))?.claim.items).toEqual([bytes])
})

test('a thousand items go into one claim, in order', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  const all = Array.from({ length: 1_234 }, (_, n) => String(n))
  await client.lPush(LIST, all)
  expect(texts(await claims.take(LIST, 1_234, BIG))).toEqual(all)
})

test('large items end a claim before its bytes get out of hand, but one is always taken', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  await client.lPush(
    LIST,
    Array.from({ length: 64 }, () => 'x'.repeat(10_000)),
  )
  const bytes = (await claims.take(LIST, 500, 50_000))?.claim.items.reduce((sum, item) => sum + (item?.length ?? 0), 0)
  expect(bytes).toBeGreaterThanOrEqual(50_000)
  expect(bytes).toBeLessThan(150_000)
  expect((await claims.take(LIST, 500, 1))?.claim.items).toHaveLength(1)
})

test('the number goes up when the clock is set back, and after the server was emptied', async () => {
  const { url } = await useRedisServer()
  let clock = 5_000
  const { client, claims } = await useClaims(url, { now: () => clock })
  const next = async () => {
    await client.lPush(LIST, 'item')
    return (await claims.take(LIST, 1, BIG))?.claim.number
  }
  expect([await next(), await next()]).toEqual([5_000, 5_001])
  clock = 100
  expect(await next()).toBe(5_002)
  clock = 9_000
  await client.flushAll()
  expect(await next()).toBe(9_000)
  expect(await client.beat([NUMBER_KEY], [clock, ''])).toBe(9_001)
})

test('a claim whose items are all settled leaves nothing in Redis but the number and when the list was empty', async () => {
  const { url } = await useRedisServer()
  let settledClaims = 0
  const counts: number[] = []
  const { client, claims } = await useClaims(url, {
    onSettled: () => settledClaims++,
    onCount: (open) => counts.push(open),
  })
  await client.lPush(LIST, ['1', '2'])
  const claim = (await claims.take(LIST, 10, BIG))?.claim
  claim?.keeper.settle(itemAt(1))
  await claims.flush()
  expect(await client.hLen(claimsKey('test'))).toBe(1)
  claim?.keeper.settle(itemAt(0))
  await waitFor(async () => (await client.keys('enigma:relay:claim*')).length === 0, 'the claim to be deleted')
  expect((await client.keys('*')).toSorted()).toEqual(['enigma:relay:empty', NUMBER_KEY])
  await vi.waitFor(() => expect(counts).toEqual([1, 0]))
  expect(settledClaims).toBe(1)
})

test('G5: nothing is aside before it is kept that the cloud is told of it', async () => {
  const { url } = await useRedisServer()
  const told = Promise.withResolvers<void>()
  const { client, claims } = await useClaims(url, { announce: () => told.promise })
  await client.lPush(LIST, ['1'])
  const claim = (await claims.take(LIST, 10, BIG))?.claim
  const parking = claim?.keeper.park(itemAt(0), 'too_large', 'the detail')
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(await client.lLen(PARKED_KEY)).toBe(0)
  told.resolve()
  await parking
  expect(await client.lLen(PARKED_KEY)).toBe(1)
})

test('to park puts the entry aside and settles the item in the same step', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url, { now: () => 1_764_000_000_000 })
  await client.lPush(LIST, ['1', '2'])
  const claim = (await claims.take(LIST, 10, BIG))?.claim
  await claim?.keeper.park(itemAt(0), 'too_large', 'the detail')
  expect((await client.lRange(PARKED_KEY, 0, -1)).map((entry) => JSON.parse(entry) as unknown)).toEqual([
    {
      id: 'main/l/1/0',
      reason: 'too_large',
      detail: 'the detail',
      parkedat: '2025-11-24T16:00:00.000Z',
      route: 'other',
      event: {},
    },
  ])
  const next = await useClaims(url)
  expect((await next.claims.adopt(claim?.number ?? 0))?.items.map(String)).toEqual(['undefined', '2'])
})

test('how long an item may have waited is known from when the list was last seen empty', async () => {
  const { url } = await useRedisServer()
  let clock = 10_000
  const { client, claims } = await useClaims(url, { now: () => clock })
  await client.lPush(LIST, ['from before the relay was there', 'too'])
  expect((await claims.take(LIST, 1, BIG))?.claim.maxWaitMs).toBe(MAX_WAIT_MS)
  expect((await claims.take(LIST, 1, BIG))?.claim.maxWaitMs).toBe(MAX_WAIT_MS)
  clock = 25_000
  await client.lPush(LIST, 'one')
  expect((await claims.take(LIST, 1, BIG))?.claim.maxWaitMs).toBe(15_000)
  await client.lPush(LIST, 'another')
  expect((await claims.take(LIST, 1, BIG, 24_990))?.claim.maxWaitMs).toBe(10)
})

test('a key that is no list is refused by its type and stays as it is', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  await client.set(LIST, 'no list')
  await expect(claims.take(LIST, 10, BIG)).rejects.toThrow(/WRONGTYPE/)
  expect(await client.get(LIST)).toBe('no list')
})

test('a server over its memory limit gives its items all the same, and that relieves it', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  await client.lPush(LIST, ['1', '2', '3'])
  await client.configSet('maxmemory', '1')
  await expect(client.lPush(LIST, '4')).rejects.toThrow(/OOM/)
  const taken = await claims.take(LIST, 10, BIG)
  expect(texts(taken)).toEqual(['1', '2', '3'])
  for (const place of [0, 1, 2]) taken?.claim.keeper.settle(itemAt(place))
  await waitFor(async () => (await client.keys('enigma:relay:claim*')).length === 0, 'the claim to be deleted')
  expect(await client.lLen(LIST)).toBe(0)
})

test('two relays that share a list get each item once between them', async () => {
  const { url } = await useRedisServer()
  const [one, two] = [await useClaims(url, { relayId: 'one' }), await useClaims(url, { relayId: 'two' })]
  const all = Array.from({ length: 400 }, (_, n) => String(n))
  await one.client.lPush(LIST, all)
  const taken = await Promise.all(
    Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? one : two).claims.take(LIST, 20, BIG)),
  )
  expect(taken.flatMap((part) => texts(part) ?? []).toSorted((a, b) => Number(a) - Number(b))).toEqual(all)
  expect(new Set(taken.map((part) => part?.claim.number)).size).toBe(20)
})

test('what a blocking move took goes into the next claim, before the list', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  const other = await useRelayRedis(url)
  await claims.announceWaiting(LIST)
  await client.lPush(LIST, ['1', '2', '3', '4'])
  await other.brPopLPush(LIST, waitingKey('test', LIST), 1)
  await other.brPopLPush(LIST, waitingKey('test', LIST), 1)
  expect(await claims.waitingLists()).toEqual([LIST])
  expect(await claims.unknown()).toEqual([])
  expect(texts(await claims.take(LIST, 1, BIG))).toEqual(['1', '2', '3'])
  expect(await client.exists(waitingKey('test', LIST))).toBe(0)
})
