import { expect, test } from 'vitest'
import { adoptFromOthers } from '../../src/relay/adoption.ts'
import { claimsKey, settledKey, waitingKey } from '../../src/relay/keys.ts'
import { createLease } from '../../src/relay/lease.ts'
import { createNumbers } from '../../src/relay/numbers.ts'
import { captureLog } from '../support/log.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { waitFor } from '../support/relay.ts'
import { itemAt, useClaims } from '../support/relay-redis.ts'

const LIST = 'enigma:notifications:campaigns'
const BIG = 1_000_000
const ofList = (number: number) => ({ number, list: LIST })

/** Claims of a process that was killed: three of two items each. */
async function useLeftClaims() {
  const { url } = await useRedisServer()
  const former = await useClaims(url, { now: () => 7_000 })
  await former.client.lPush(LIST, ['1', '2', '3', '4', '5', '6'])
  const taken = [
    await former.claims.take(LIST, 2, BIG),
    await former.claims.take(LIST, 2, BIG),
    await former.claims.take(LIST, 2, BIG),
  ]
  return { url, former, taken: taken.map((part) => part?.claim) }
}

test('the next process finds what was left, the oldest first, with the same numbers, times and items', async () => {
  const { url, taken } = await useLeftClaims()
  const next = await useClaims(url)
  expect(await next.claims.unknown()).toEqual([7_000, 7_001, 7_002].map(ofList))
  for (const claim of taken) {
    const { keeper: _, ...same } = (await next.claims.adopt(claim?.number ?? 0)) ?? {}
    expect(same).toEqual({
      number: claim?.number,
      list: LIST,
      takenMs: 7_000,
      maxWaitMs: claim?.maxWaitMs,
      items: claim?.items,
    })
  }
  expect(await next.claims.unknown()).toEqual([])
})

test("claims are the process's own: another relay id finds none", async () => {
  const { url } = await useLeftClaims()
  const other = await useClaims(url, { relayId: 'another' })
  expect(await other.claims.unknown()).toEqual([])
})

test('what was sent before an orderly end is not sent again after it', async () => {
  const { url, former, taken } = await useLeftClaims()
  taken[0]?.keeper.settle(itemAt(0))
  taken[0]?.keeper.settle(itemAt(1))
  taken[1]?.keeper.settle(itemAt(0))
  await former.claims.leave()
  const next = await useClaims(url)
  expect(await next.claims.unknown()).toEqual([7_001, 7_002].map(ofList))
  const adopted = await next.claims.adopt(7_001)
  expect(adopted?.items.map(String)).toEqual(['undefined', '4'])
  adopted?.keeper.settle(itemAt(1))
  await next.claims.flush()
  expect(await next.client.exists([settledKey('test', 7_001)])).toBe(0)
  expect(await next.client.hKeys(claimsKey('test'))).toEqual(['7002'])
})

test('a claim that had been settled whole but not deleted is deleted, and gives nothing to send', async () => {
  const { url, former } = await useLeftClaims()
  await former.client.sAdd(settledKey('test', 7_000), ['0', '1'])
  const next = await useClaims(url)
  expect((await next.claims.adopt(7_000))?.items).toEqual([undefined, undefined])
  await next.claims.flush()
  expect(await next.client.hExists(claimsKey('test'), '7000')).toBe(0)
})

test('a claim of which only the registry knows is taken off it', async () => {
  const { url, former } = await useLeftClaims()
  await former.client.del('enigma:relay:claim:test:7001')
  const next = await useClaims(url)
  expect((await next.claims.adopt(7_001))?.items).toEqual([])
  await next.claims.flush()
  expect(await next.claims.unknown()).toEqual([7_000, 7_002].map(ofList))
  expect(await next.claims.adopt(4_711)).toBeUndefined()
})

test('a take whose answer is on its way is not taken for a leftover', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  await client.lPush(
    LIST,
    Array.from({ length: 200 }, (_, n) => String(n)),
  )
  for (let round = 0; round < 20; round++) {
    const taking = claims.take(LIST, 5, BIG)
    expect(await claims.unknown()).toEqual([])
    await taking
  }
})

test('a take whose answer was cut is found as a leftover, and nothing of it is lost', async () => {
  const server = await useRedisServer()
  const proxy = await useProxy(server.port)
  const { client, claims } = await useClaims(`redis://127.0.0.1:${proxy.port}`)
  const onlooker = await useRedisClient(server.url)
  // The server must know the script, or it would answer only that it does not.
  await claims.take(LIST, 1, BIG)
  await client.lPush(LIST, ['1', '2', '3'])
  proxy.state.holdAnswers = true
  const cut = expect(claims.take(LIST, 10, BIG)).rejects.toThrow()
  await waitFor(async () => (await onlooker.lLen(LIST)) === 0, 'the script to run')
  proxy.state.holdAnswers = false
  proxy.cut()
  await cut
  await waitFor(() => client.isReady, 'the client to be back')
  const [left] = await claims.unknown()
  expect((await claims.adopt(left?.number ?? 0))?.items.map(String)).toEqual(['1', '2', '3'])
})

test('what a blocking move took before the crash is found, also for a list that is no longer named', async () => {
  const { url } = await useRedisServer()
  const former = await useClaims(url)
  await former.claims.announceWaiting('former:list')
  await former.client.lPush(waitingKey('test', 'former:list'), 'moved')
  const next = await useClaims(url)
  expect(await next.claims.waitingLists()).toEqual(['former:list'])
  expect((await next.claims.take('former:list', 0, 1))?.claim.items.map(String)).toEqual(['moved'])
})

test('claims of another relay are its own as long as its lease runs; then they come to who looks first, with what is known of them', async () => {
  const { url, former, taken } = await useLeftClaims()
  const { log } = captureLog()
  const lease = createLease({ client: former.client, relayId: 'test', log })
  expect(await lease.acquire(new AbortController().signal)).toBe(true)
  taken[1]?.keeper.settle(itemAt(0))
  await former.claims.leave()
  const [one, two] = [await useClaims(url, { relayId: 'one' }), await useClaims(url, { relayId: 'two' })]
  const look = ({ client }: typeof one, relayId: string) =>
    adoptFromOthers({
      client,
      relayId,
      numbers: createNumbers({ now: Date.now, onSeen: () => undefined }),
      log,
      now: Date.now,
    })
  expect([await look(one, 'one'), await one.claims.unknown()]).toEqual([0, []])
  await lease.release()
  expect([await look(one, 'one'), await look(two, 'two')]).toEqual([3, 0])
  expect((await one.claims.unknown()).map(({ number }) => number)).toEqual([7_000, 7_001, 7_002])
  // What was sent before it ended is not sent again.
  expect((await one.claims.adopt(7_001))?.items.map(String)).toEqual(['undefined', '4'])
  expect(await two.claims.unknown()).toEqual([])
})
