import { expect, test, vi } from 'vitest'
import { MAX_WAIT_MS } from '../../../src/protocol/index.ts'
import type { Claim } from '../../../src/relay/lists/claims.ts'
import { createMetrics } from '../../../src/relay/metrics.ts'
import {
  claimPrefix,
  claimsKey,
  createNumbers,
  leaseKey,
  NUMBER_KEY,
  PARKED_KEY,
  reportDamage,
  waitingKey,
} from '../../../src/relay/redis/relay-keys.ts'
import { captureLog } from '../../support/log.ts'
import { useRedisServer } from '../../support/redis.ts'
import { itemAt, itemsOf, textsOf, useClaims, useRelayRedis } from '../../support/relay-redis.ts'
import { waitFor } from '../../support/relay.ts'

const LIST = 'enigma:notifications:campaigns'
const BIG = 1_000_000

const texts = (taken: { readonly claim: Claim } | undefined) => taken && textsOf(taken.claim)

test.each([
  ['right', ['1', '2', '3'], ['5', '4']],
  ['left', ['5', '4', '3'], ['2', '1']],
] as const)('items are taken from the %s end in the order in which they must be sent', async (listEnd, first, rest) => {
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

test('a claim keeps the exact bytes that were pushed', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  const bytes = Buffer.from([0, 0xff, 0x0d, 0x0a, 0x80])
  await client.lPush(LIST, bytes)
  expect([...itemsOf((await claims.take(LIST, 10, BIG))?.claim).values()]).toEqual([bytes])
})

test('one claim takes more than a thousand items, in order', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  const all = Array.from({ length: 1_234 }, (_, n) => String(n))
  await client.lPush(LIST, all)
  expect(texts(await claims.take(LIST, 1_234, BIG))).toEqual(all)
})

test('a claim exceeds its byte limit by at most one item, whether large items come from the list or from a blocking move', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  const small = Array.from({ length: 300 }, (_, n) => `small ${n}`)
  const large = Array.from({ length: 40 }, () => 'x'.repeat(100_000))
  await client.lPush(LIST, [...small, ...large])
  const first = (await claims.take(LIST, 500, 250_000))?.claim
  expect(first?.items.size).toBe(303)
  expect((await claims.take(LIST, 500, 1))?.claim.items.size).toBe(1)
  await client.lPush(waitingKey('test', LIST), large)
  expect((await claims.take(LIST, 500, 250_000))?.claim.items.size).toBe(3)
  expect([await client.lLen(waitingKey('test', LIST)), await client.lLen(LIST)]).toEqual([37, 36])
})

test('the number rises even when the clock is set back or the server is emptied', async () => {
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
  await claims.beginGeneration(LIST)
  expect(await next()).toBe(9_000)
  expect(await client.nextNumber({ leastNumber: clock })).toBe(9_001)
})

test('a fully settled claim is deleted; Redis keeps only the registry, the number and the time when the list was empty', async () => {
  const { url } = await useRedisServer()
  let held = 0
  const counts: number[] = []
  const { client, claims } = await useClaims(url, {
    intake: { hold: (_list, more) => (held += more), isShort: () => false },
    onCount: (open) => counts.push(open),
  })
  await client.lPush(LIST, ['1', '2'])
  const claim = (await claims.take(LIST, 10, BIG))?.claim
  claim?.acknowledger.settle(itemAt(1))
  await claims.flush()
  expect(held).toBe(2)
  expect(await client.hKeys(claimsKey('test'))).toContain(String(claim?.number))
  claim?.acknowledger.settle(itemAt(0))
  await waitFor(async () => (await client.keys('enigma:relay:claim:*')).length === 0, 'the claim to be deleted')
  expect((await client.keys('*')).toSorted()).toEqual([claimsKey('test'), 'enigma:relay:empty', NUMBER_KEY])
  await vi.waitFor(() => expect(counts).toEqual([1, 0]))
  expect(held).toBe(0)
})

test('G5: an item is not parked before its announcement is stored', async () => {
  const { url } = await useRedisServer()
  const told = Promise.withResolvers<void>()
  const { client, claims } = await useClaims(url, { announce: () => told.promise })
  await client.lPush(LIST, ['1'])
  const claim = (await claims.take(LIST, 10, BIG))?.claim
  const parking = claim?.acknowledger.park(itemAt(0), 'too_large', 'the detail')
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(await client.lLen(PARKED_KEY)).toBe(0)
  told.resolve()
  await parking
  expect(await client.lLen(PARKED_KEY)).toBe(1)
})

test('parking stores the entry and settles the item', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url, { now: () => 1_764_000_000_000 })
  await client.lPush(LIST, ['1', '2'])
  const claim = (await claims.take(LIST, 10, BIG))?.claim
  await claim?.acknowledger.park(itemAt(0), 'too_large', 'the detail')
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
  expect(itemsOf(await next.claims.adopt(claim?.number ?? 0))).toEqual(new Map([[1, Buffer.from('2')]]))
})

/** Creates claims with a clock that only the test moves. */
async function useClock() {
  const { url } = await useRedisServer()
  const clock = { ms: 10_000 }
  const street = await useClaims(url, { now: () => clock.ms })
  const push = (count: number) =>
    street.client.lPush(
      LIST,
      Array.from({ length: count }, () => 'item'),
    )
  const wait = async (count = 500) => (await street.claims.take(LIST, count, BIG))?.claim.maxWaitMs
  return { url, clock, push, wait, ...street }
}

test('the maximum wait of an item counts from when the list was last empty, even if only a take of nothing saw that', async () => {
  const { clock, push, wait } = await useClock()
  await push(2)
  expect([await wait(1), await wait(1)]).toEqual([MAX_WAIT_MS, MAX_WAIT_MS])
  clock.ms = 25_000
  await push(1)
  expect(await wait()).toBe(15_000)
  clock.ms = 60_000
  expect(await wait()).toBeUndefined()
  clock.ms = 60_010
  await push(1)
  expect(await wait()).toBe(10)
})

test('the maximum wait of a moved item counts from when this relay last found the list empty, however late it is claimed', async () => {
  const { url, clock, wait, client, claims } = await useClock()
  const other = await useClaims(url, { relayId: 'other', now: () => clock.ms })
  expect(await wait()).toBeUndefined()
  clock.ms = 10_100
  await client.lPush(waitingKey('test', LIST), 'moved')
  clock.ms = 18_000
  // Another relay finds the list empty, which says nothing about items that were moved before.
  expect(await other.claims.take(LIST, 500, BIG)).toBeUndefined()
  clock.ms = 18_600
  // Neither does a new generation after a lost connection.
  await claims.beginGeneration(LIST)
  await client.lPush(LIST, 'fresh')
  const taken = await claims.take(LIST, 500, BIG)
  expect([texts(taken), taken?.claim.maxWaitMs]).toEqual([['moved', 'fresh'], 8_600])
})

test('the maximum wait of a list that is never empty is known once its first items are taken, and is never less than the wait', async () => {
  const { clock, client, claims } = await useClock()
  const waits: { readonly said: number; readonly most: number }[] = []
  const push = (count: number) =>
    client.lPush(
      LIST,
      Array.from({ length: count }, () => String(clock.ms)),
    )
  await push(100)
  for (let round = 0; round < 60; round++) {
    clock.ms += 1_000
    await push(20)
    const claim = (await claims.take(LIST, 20, BIG))?.claim
    waits.push({
      said: claim?.maxWaitMs ?? 0,
      most: clock.ms - Math.min(...textsOf(claim).map(Number)),
    })
  }
  expect(waits.filter(({ said, most }) => said < most)).toEqual([])
  expect(waits[0]?.said).toBe(MAX_WAIT_MS)
  // The list holds five rounds: an item waits for 5 s, and its reported maximum is up to about twice as long.
  for (const { said } of waits.slice(6)) expect(said).toBeLessThanOrEqual(11_000)
})

test('a list that another client shortens or deletes does not keep an old time', async () => {
  const { clock, push, wait, client } = await useClock()
  await push(10_000)
  expect(await wait(1)).toBe(MAX_WAIT_MS)
  await client.lTrim(LIST, 0, 4)
  clock.ms += 1_000
  expect(await wait(2)).toBe(MAX_WAIT_MS)
  await push(10)
  expect(await wait(3)).toBe(MAX_WAIT_MS)
  clock.ms += 1_000
  expect(await wait(1)).toBe(2_000)
  await client.del(LIST)
  await push(5)
  clock.ms += 1_000
  expect(await wait(2)).toBe(3_000)
  await push(10)
  expect(await wait(3)).toBe(3_000)
  // Every item that the list had at 11,000 is gone, although nine were left to be taken then.
  clock.ms += 1_000
  expect(await wait(1)).toBe(3_000)
})

test('a clock set back by 5 s makes no item look fresh; a clock that is 300 ms behind makes no item look old', async () => {
  const { clock, push, wait } = await useClock()
  await wait()
  clock.ms -= 5_000
  await push(1)
  expect(await wait()).toBe(MAX_WAIT_MS)
  clock.ms -= 300
  await push(1)
  expect(await wait()).toBe(1_000)
})

test('a take of an older generation takes nothing, and neither does a take after Redis came back empty', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  const next = await useClaims(url)
  await client.lPush(LIST, ['1', '2'])
  await claims.beginGeneration(LIST)
  await next.claims.beginGeneration(LIST)
  expect(await claims.takeAsIs(LIST, 10, BIG)).toBe('fenced')
  expect(await claims.takeAsIs('never:announced', 10, BIG)).toBe('fenced')
  expect(await client.lLen(LIST)).toBe(2)
  await client.flushAll()
  await client.lPush(LIST, '3')
  expect(await next.claims.takeAsIs(LIST, 10, BIG)).toBe('fenced')
  // After Redis was emptied, too, a newer generation fences an older one.
  await claims.beginGeneration(LIST)
  await next.claims.beginGeneration(LIST)
  expect(await claims.takeAsIs(LIST, 10, BIG)).toBe('fenced')
  expect(texts(await next.claims.take(LIST, 10, BIG))).toEqual(['3'])
})

test('no generation begins while another process holds the relay id; a field of an older version or with garbage does no harm', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  for (const value of ['1', 'garbage', '9'.repeat(30), '']) {
    await client.hSet(claimsKey('test'), `waiting:${LIST}`, value)
    await claims.beginGeneration(LIST)
    expect(await claims.takeAsIs(LIST, 10, BIG)).toBeUndefined()
  }
  await client.set(leaseKey('test'), 'another')
  await expect(claims.beginGeneration(LIST)).rejects.toMatchObject({ code: 'relay.lease.taken' })
})

test('a counter that no relay wrote is repaired from the clock and reported once; numbers still rise and never repeat', async () => {
  const { url } = await useRedisServer()
  const clock = { ms: 1_764_000_000_000 }
  const { client, claims } = await useClaims(url, { now: () => clock.ms })
  const other = await useClaims(url, { relayId: 'other', now: () => clock.ms })
  const metrics = createMetrics()
  const next = async (relay = claims) => {
    await client.lPush(LIST, 'item')
    return (await relay.take(LIST, 1, BIG))?.claim.number ?? 0
  }
  const damages = ['9e18', '9223372036854775807', '9007199254740991', '1e999', '-1', '1.5', 'nan', '0x10', 'text', '']
  for (const value of [...damages, undefined]) {
    clock.ms += 1_000
    const { log, coded } = captureLog()
    const numbers = [await next()]
    if (value === undefined) await client.multi().del(NUMBER_KEY).lPush(NUMBER_KEY, 'a list').exec()
    else await client.set(NUMBER_KEY, value)
    numbers.push(
      await next(),
      await next(other.claims),
      await client.nextNumber({ leastNumber: clock.ms }),
      await next(),
    )
    expect(numbers, value).toEqual([0, 1, 2, 3, 4].map((n) => clock.ms + n))
    const report = () => reportDamage({ client, sourceId: 'main', log, metrics })
    await Promise.all([report(), report()])
    await report()
    expect(coded('relay.number.repaired'), value).toMatchObject([{ source: 'main' }])
  }
})

test('a relay ignores an invalid number in a damaged note or from a published message', async () => {
  const client = await useRelayRedis((await useRedisServer()).url)
  const seen: number[] = []
  for (const last of [9e18, Number.NaN, Infinity, -1, 1.5]) {
    const numbers = createNumbers({ client, now: () => 5_000, last, onHighest: (number) => seen.push(number) })
    for (const number of [9e18, Number.NaN, Infinity, 7_000.5]) numbers.noteUsed(number)
    expect([numbers.lowerBound(), numbers.lowerBound()]).toEqual([5_000, 5_001])
  }
  expect(seen).toEqual([])
})

test('a take from a key that is not a list fails with WRONGTYPE and leaves the key unchanged', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  await client.set(LIST, 'no list')
  await expect(claims.take(LIST, 10, BIG)).rejects.toThrow(/WRONGTYPE/)
  expect(await client.get(LIST)).toBe('no list')
})

test('items can be taken from a server over its memory limit, and their claim can be deleted', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  await client.lPush(LIST, ['1', '2', '3'])
  await client.configSet('maxmemory', '1')
  await expect(client.lPush(LIST, '4')).rejects.toThrow(/OOM/)
  const taken = await claims.take(LIST, 10, BIG)
  expect(texts(taken)).toEqual(['1', '2', '3'])
  for (const place of [0, 1, 2]) taken?.claim.acknowledger.settle(itemAt(place))
  await waitFor(async () => (await client.keys('enigma:relay:claim:*')).length === 0, 'the claim to be deleted')
  expect(await client.lLen(LIST)).toBe(0)
})

test('two relays that share a list take each item exactly once', async () => {
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

test('items that a blocking move took enter the next claim before items of the list', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  const other = await useRelayRedis(url)
  await claims.beginGeneration(LIST)
  await client.lPush(LIST, ['1', '2', '3', '4'])
  await other.brPopLPush(LIST, waitingKey('test', LIST), 1)
  await other.brPopLPush(LIST, waitingKey('test', LIST), 1)
  expect(await claims.waitingLists()).toEqual([LIST])
  expect(await claims.unknown()).toEqual([])
  expect(texts(await claims.take(LIST, 3, BIG))).toEqual(['1', '2', '3'])
  expect(await client.exists(waitingKey('test', LIST))).toBe(0)
})
