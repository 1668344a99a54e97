import { expect, test } from 'vitest'
import { createRelayAdoption, createClaimAdoption, type SearchFailure } from '../../../src/relay/lists/adoption.ts'
import { claimsKey, leaseKey, settledKey, waitingKey, createNumbers } from '../../../src/relay/redis/relay-keys.ts'
import { createLease, type LeaseOptions } from '../../../src/relay/redis/lease.ts'
import { createMetrics } from '../../../src/relay/metrics.ts'
import { captureLog } from '../../support/log.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { waitFor } from '../../support/relay.ts'
import { itemAt, itemsOf, textsOf, useClaims } from '../../support/relay-redis.ts'

const LIST = 'enigma:notifications:campaigns'
const BIG = 1_000_000
const ofList = (number: number, items = 2) => ({ number, list: LIST, items })

/** Leaves three claims of two items each, as a killed process does. */
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

test('the next process finds the leftover claims, oldest first, with the same numbers, times and items', async () => {
  const { url, taken } = await useLeftClaims()
  const next = await useClaims(url)
  expect(await next.claims.unknown()).toEqual([7_000, 7_001, 7_002].map((number) => ofList(number)))
  for (const claim of taken) {
    const { acknowledger: _, ...same } = (await next.claims.adopt(claim?.number ?? 0)) ?? {}
    expect(same).toEqual({
      number: claim?.number,
      list: LIST,
      takenMs: 7_000,
      maxWaitMs: claim?.maxWaitMs,
      items: claim?.items,
      former: new Map(),
    })
  }
  expect(await next.claims.unknown()).toEqual([])
})

test('claims belong to one relay id: another relay id finds none', async () => {
  const { url } = await useLeftClaims()
  const other = await useClaims(url, { relayId: 'another' })
  expect(await other.claims.unknown()).toEqual([])
})

test('items that were settled before an orderly stop are not adopted after it', async () => {
  const { url, former, taken } = await useLeftClaims()
  taken[0]?.acknowledger.settle(itemAt(0))
  taken[0]?.acknowledger.settle(itemAt(1))
  taken[1]?.acknowledger.settle(itemAt(0))
  await former.claims.finish()
  const next = await useClaims(url)
  expect(await next.claims.unknown()).toEqual([ofList(7_001, 1), ofList(7_002)])
  const adopted = await next.claims.adopt(7_001)
  expect(itemsOf(adopted)).toEqual(new Map([[1, Buffer.from('4')]]))
  adopted?.acknowledger.settle(itemAt(1))
  await next.claims.flush()
  expect(await next.client.exists([settledKey('test', 7_001)])).toBe(0)
  expect(await next.client.hKeys(claimsKey('test'))).toEqual([`waiting:${LIST}`, '7002'])
})

test('a claim that was fully settled but not deleted is deleted, and no item of it is sent', async () => {
  const { url, former } = await useLeftClaims()
  await former.client.sAdd(settledKey('test', 7_000), ['0', '1'])
  const next = await useClaims(url)
  expect((await next.claims.adopt(7_000))?.items.size).toBe(0)
  await next.claims.flush()
  expect(await next.client.hExists(claimsKey('test'), '7000')).toBe(0)
})

test('a claim that exists only in the registry is removed from it', async () => {
  const { url, former } = await useLeftClaims()
  await former.client.del('enigma:relay:claim:test:7001')
  const next = await useClaims(url)
  expect((await next.claims.adopt(7_001))?.items.size).toBe(0)
  await next.claims.flush()
  expect(await next.claims.unknown()).toEqual([7_000, 7_002].map((number) => ofList(number)))
  expect(await next.claims.adopt(4_711)).toBeUndefined()
})

test('a take whose reply is pending is not treated as a leftover', async () => {
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

test('a take whose reply was lost is found as a leftover, with all its items', async () => {
  const server = await useRedisServer()
  const proxy = await useProxy(server.port)
  const { client, claims } = await useClaims(`redis://127.0.0.1:${proxy.port}`)
  const onlooker = await useRedisClient(server.url)
  // Load the script first, or the server would only answer that it does not know it.
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
  expect(textsOf(await claims.adopt(left?.number ?? 0))).toEqual(['1', '2', '3'])
})

test('G3: a take that a lost connection delivers late takes nothing, so that newer items cannot overtake older ones', async () => {
  const server = await useRedisServer()
  const proxy = await useProxy(server.port)
  const { client, claims } = await useClaims(`redis://127.0.0.1:${proxy.port}`)
  const onlooker = await useRedisClient(server.url)
  await claims.beginGeneration(LIST)
  // Load the script first, or the server would only answer that it does not know it.
  await claims.takeAsIs(LIST, 2, BIG)
  await onlooker.lPush(LIST, ['1', '2', '3', '4'])
  proxy.state.failAt = { words: 'enigma:relay:claim:test:', how: 'late' }
  const lost = expect(claims.takeAsIs(LIST, 2, BIG)).rejects.toThrow()
  await waitFor(() => proxy.state.failures === 1, 'the take to be under way')
  proxy.state.failAt = undefined
  client.destroy()
  await lost
  await client.connect()
  await claims.beginGeneration(LIST)
  // Old servers count EVALSHA as EVAL.
  const scripts = async () =>
    [...(await onlooker.info('commandstats')).matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce(
      (sum, [, calls]) => sum + Number(calls),
      0,
    )
  const before = await scripts()
  expect(proxy.deliver()).toBeGreaterThan(0)
  await waitFor(async () => (await scripts()) > before, 'the late take to come')
  expect(await claims.unknown()).toEqual([])
  const taken = await claims.takeAsIs(LIST, 2, BIG)
  expect(typeof taken === 'object' && textsOf(taken.claim)).toEqual(['1', '2'])
})

test('items that a blocking move took before a crash are found, even for a list that is no longer named', async () => {
  const { url } = await useRedisServer()
  const former = await useClaims(url)
  await former.claims.beginGeneration('former:list')
  await former.client.lPush(waitingKey('test', 'former:list'), 'moved')
  const next = await useClaims(url)
  expect(await next.claims.waitingLists()).toEqual(['former:list'])
  expect(textsOf((await next.claims.take('former:list', 0, 1))?.claim)).toEqual(['moved'])
})

/** A relay that left claims, and others that look for them. The test sets for how long each has renewed its lease without a failure. */
async function useLookers(options: Partial<LeaseOptions> = {}) {
  const left = await useLeftClaims()
  const { log, coded } = captureLog()
  const never = new AbortController().signal
  const former = createLease({ client: left.former.client, relayId: 'test', log, ...options })
  expect(await former.acquire(never)).toBe(true)
  const steady = { ms: 0 }
  const looker = async (relayId: string, journalId?: number) => {
    const { client, claims } = await useClaims(left.url, { relayId })
    await client.set(leaseKey(relayId), relayId)
    const adoption = createRelayAdoption({
      client,
      relayId,
      numbers: createNumbers({ client, now: Date.now }),
      log,
      now: Date.now,
      lease: {
        holder: relayId,
        steadyMs: () => steady.ms,
        hasOurJournal: createLease({ client, relayId, log, journalId }).hasOurJournal,
      },
    })
    const numbers = async () => (await claims.unknown()).map(({ number }) => number)
    return { checkOthers: () => adoption.checkOthers(), claims, numbers, client }
  }
  return { ...left, lease: former, steady, looker, coded }
}
const ALL = [7_000, 7_001, 7_002]
const calm = { doubtful: 0, failure: undefined }
const inDoubt = { doubtful: 1, failure: undefined }

test('claims of a relay that released its lease go at once to the first relay that checks, with their settled items known', async () => {
  const { former, taken, lease, looker, coded } = await useLookers()
  taken[1]?.acknowledger.settle(itemAt(0))
  await former.claims.finish()
  await lease.release()
  const [one, two] = [await looker('one'), await looker('two')]
  expect([await one.checkOthers(), await two.checkOthers()]).toEqual([calm, calm])
  expect([await one.numbers(), await two.numbers()]).toEqual([ALL, []])
  expect(coded('relay.claims.adopted')).toMatchObject([{ relayId: 'test', claims: 3 }])
  // Items that were settled before it stopped are not sent again.
  expect(itemsOf(await one.claims.adopt(7_001))).toEqual(new Map([[1, Buffer.from('4')]]))
})

test('claims of a relay with an unexpired lease are in doubt until the lease is renewed, and stay with that relay', async () => {
  const { lease, looker, steady } = await useLookers({ leaseMs: 400 })
  const one = await looker('one')
  expect(await one.checkOthers()).toEqual(inDoubt)
  const abort = new AbortController()
  const keeping = lease.keep(abort.signal)
  await waitFor(async () => (await one.checkOthers()).doubtful === 0, 'the lease to be renewed')
  steady.ms = 10_000
  expect(await one.checkOthers()).toEqual(calm)
  expect(await one.numbers()).toEqual([])
  abort.abort()
  await keeping
})

test('a lease that expired while this relay could not renew its own proves nothing: adoption waits for the length of a lease', async () => {
  const { former, lease, looker, steady } = await useLookers()
  const one = await looker('one')
  await former.client.del('enigma:relay:lease:test')
  expect([await one.checkOthers(), await one.numbers()]).toEqual([inDoubt, []])
  // The former relay is running: it was only cut off, as this one was.
  await lease.acquire(new AbortController().signal)
  steady.ms = 9_999
  expect([(await one.checkOthers()).doubtful, await one.numbers()]).toEqual([0, []])
  await former.client.del('enigma:relay:lease:test')
  steady.ms = 10_000
  expect([await one.checkOthers(), await one.numbers()]).toEqual([calm, ALL])
})

test('a relay whose own lease has expired adopts nothing: the other relay may not have been able to renew its lease either', async () => {
  const { former, looker, steady } = await useLookers()
  const one = await looker('one')
  await former.client.del([leaseKey('test'), leaseKey('one')])
  steady.ms = 10_000
  expect([await one.checkOthers(), await one.numbers()]).toEqual([inDoubt, []])
  await former.client.set(leaseKey('one'), 'one')
  expect([await one.checkOthers(), await one.numbers()]).toEqual([calm, ALL])
})

test('claims of the relay that had this journal are adopted at once, whatever its lease says', async () => {
  const { looker, lease } = await useLookers({ journalId: 7 })
  const [other, same] = [await looker('other', 8), await looker('same', 7)]
  expect([await other.checkOthers(), await other.numbers()]).toEqual([inDoubt, []])
  expect([await same.checkOthers(), await same.numbers()]).toEqual([calm, ALL])
  // The former relay is running after all, with a copy of the journal: the second time, its lease is respected.
  await lease.acquire(new AbortController().signal)
  await same.checkOthers()
  expect(await same.client.exists('enigma:relay:lease:test')).toBe(1)
})

test('a relay without claims is not in doubt; a relay with an unreadable registry does not block the adoption of others', async () => {
  const { url, looker, steady } = await useLookers()
  const one = await looker('one')
  await one.client.zAdd('enigma:relay:relays', [
    { value: 'idle', score: 5 },
    { value: 'damaged', score: 5 },
  ])
  await one.client.hSet(claimsKey('idle'), `waiting:${LIST}`, '1')
  await one.client.set(claimsKey('damaged'), 'no hash')
  const { doubtful, failure } = await one.checkOthers()
  expect([doubtful, String(failure)]).toEqual([1, expect.stringContaining('WRONGTYPE')])
  steady.ms = 10_000
  await (await useRedisClient(url)).del('enigma:relay:lease:test')
  expect(String((await one.checkOthers()).failure)).toContain('WRONGTYPE')
  expect(await one.numbers()).toEqual(ALL)
})

test('a list is not taken until the check for leftover claims succeeds or the length of a lease has passed', async () => {
  const { url } = await useRedisServer()
  const { client, claims } = await useClaims(url)
  await client.zAdd('enigma:relay:relays', { value: 'former', score: 5 })
  await client.set(leaseKey('test'), 'test')
  const steady = { ms: 0 }
  const failures: string[] = []
  const begin = async () => {
    const abort = new AbortController()
    const adoption = createClaimAdoption(
      {
        sourceId: 'main',
        client,
        relayId: 'test',
        claims,
        numbers: createNumbers({ client, now: Date.now }),
        lists: [LIST],
        intake: { room: () => Promise.resolve({ items: BIG, bytes: BIG }), enqueue: () => undefined },
        state: {
          set searchFailure(failure: SearchFailure | undefined) {
            failures.push(failure?.reason ?? '')
          },
        },
        log: captureLog().log,
        metrics: createMetrics(),
        now: Date.now,
        lease: { holder: 'test', steadyMs: () => steady.ms, hasOurJournal: () => false },
      },
      abort.signal,
    )
    failures.length = 0
    await client.set(claimsKey('former'), 'as when the connection is cut in the middle of a look')
    const running = adoption.run()
    let isAdopted = false
    const adopted = adoption.adopt(LIST).then(() => (isAdopted = true))
    await waitFor(() => failures.length > 1, 'two looks that fail')
    expect([isAdopted, failures[1]]).toEqual([false, expect.stringContaining('WRONGTYPE')])
    const end = () => (abort.abort(), running)
    return { adopted, end }
  }
  const first = await begin()
  await client.del(claimsKey('former'))
  await first.adopted
  await first.end()
  const second = await begin()
  steady.ms = 10_000
  await second.adopted
  await second.end()
})

test('compaction removes settled items from a claim, in Redis and in memory; the remaining items keep their ids', async () => {
  const { url } = await useRedisServer()
  const clock = { ms: 7_000 }
  let held = 0
  const { client, claims } = await useClaims(url, {
    now: () => clock.ms,
    intake: { hold: (_list, more) => (held += more), isShort: () => true },
  })
  await client.lPush(LIST, ['0', '1', '2', '3', '4', '5', '6', '7'])
  const claim = (await claims.take(LIST, 8, BIG))?.claim
  const inRedis = () => client.lRange('enigma:relay:claim:test:7000', 0, -1)
  const abort = new AbortController()
  const running = claims.run(abort.signal)
  for (const index of [0, 1, 2, 4]) claim?.acknowledger.settle(itemAt(index))
  expect([...(claim?.items.keys() ?? [])]).toEqual([3, 5, 6, 7])
  // A young claim is not compacted: most claims are deleted whole within milliseconds.
  expect([await inRedis(), held]).toEqual([['0', '1', '2', '3', '4', '5', '6', '7'], 8])
  clock.ms += 50
  await waitFor(async () => (await inRedis()).length === 4, 'it to be compacted')
  clock.ms += 50
  for (const index of [3, 6]) claim?.acknowledger.settle(itemAt(index))
  await waitFor(async () => (await inRedis()).length === 2, 'it to be compacted again')
  expect([await inRedis(), held]).toEqual([['5', '7'], 2])
  // The item is a copy, not a view of the whole reply.
  expect(claim?.items.get(5)?.data.buffer.byteLength).toBe(1)
  abort.abort()
  await running
  await claim?.acknowledger.park(itemAt(7), 'refused', 'the detail')
  // The next process, another relay and a write-back to an empty Redis keep the same item with the same id.
  const next = await useClaims(url)
  expect(itemsOf(await next.claims.adopt(7_000))).toEqual(new Map([[5, Buffer.from('5')]]))
  const other = await useClaims(url, { relayId: 'other' })
  await client.zAdd('enigma:relay:relays', { value: 'test', score: -1 })
  const numbers = createNumbers({ client, now: Date.now })
  const { log } = captureLog()
  const lease = { holder: 'other', steadyMs: () => 0, hasOurJournal: () => false }
  const more = { numbers, log, now: Date.now, lease }
  await client.set(leaseKey('other'), 'other')
  await createRelayAdoption({ client: other.client, relayId: 'other', ...more }).checkOthers()
  expect(itemsOf(await other.claims.adopt(7_000))).toEqual(new Map([[5, Buffer.from('5')]]))
  await client.flushAll()
  expect(await other.claims.writeBack()).toBe(1)
  const last = await useClaims(url, { relayId: 'other' })
  const adopted = await last.claims.adopt(7_000)
  expect(itemsOf(adopted)).toEqual(new Map([[5, Buffer.from('5')]]))
  adopted?.acknowledger.settle(itemAt(5))
  await last.claims.flush()
  expect(await client.keys('enigma:relay:claim*')).toEqual([])
})

test('a compaction that is late, repeated or after the claim was deleted neither removes nor restores items', async () => {
  const { url, former } = await useLeftClaims()
  const { client } = former
  const [registry, claim] = [claimsKey('test'), 'enigma:relay:claim:test:7000']
  const read = async () => [await client.hGet(registry, '7000'), await client.lRange(claim, 0, -1)]
  const compact = (...rest: number[]) => client.compact({ registry, claim, number: 7_000, rest })
  expect(await compact(1)).toBe(1)
  // A compaction that was sent earlier, with both items.
  expect(await compact(0, 1)).toBe(1)
  expect(await read()).toEqual([expect.stringMatching(/@1:enigma/), ['2']])
  const next = await useClaims(url)
  expect(itemsOf(await next.claims.adopt(7_000))).toEqual(new Map([[1, Buffer.from('2')]]))
  await client.multi().del(claim).hDel(registry, '7000').exec()
  expect(await compact(0, 1)).toBe(0)
  expect(await read()).toEqual([null, []])
})

/** Returns an item at this index with this attempt number. */
const itemAtAttempt = (index: number, attempt: number) => ({ ...itemAt(index), attempt })

test('attempts survive the process: whoever adopts the claim knows them, under the same or another relay id', async () => {
  const { url, former, taken, lease, looker } = await useLookers()
  const [claim, , last] = taken
  last?.acknowledger.keepAttempt?.(itemAtAttempt(0, 4))
  await waitFor(async () => (await former.client.hExists(claimsKey('test'), 'attempts:7002')) === 1, 'the attempt')
  claim?.acknowledger.keepAttempt?.(itemAtAttempt(0, 2))
  claim?.acknowledger.keepAttempt?.(itemAtAttempt(1, 2))
  const field = `attempts:${claim?.number}`
  await waitFor(async () => (await former.client.hGet(claimsKey('test'), field)) === '0=2,1=2', 'the attempts')
  claim?.acknowledger.keepAttempt?.(itemAtAttempt(1, 3))
  await waitFor(async () => (await former.client.hGet(claimsKey('test'), field)) === '0=2,1=3', 'the last attempt')
  claim?.acknowledger.settle(itemAt(0))
  const next = await useClaims(url)
  const adopted = await next.claims.adopt(claim?.number ?? 0)
  expect(adopted?.former?.get(1)).toBe(3)
  // The other claim had no attempts.
  expect((await next.claims.adopt(taken[1]?.number ?? 0))?.former).toEqual(new Map())
  adopted?.acknowledger.settle(itemAt(0))
  adopted?.acknowledger.settle(itemAt(1))
  await waitFor(async () => (await next.client.hExists(claimsKey('test'), field)) === 0, 'its end')
  await lease.release()
  const other = await looker('other')
  await other.checkOthers()
  expect((await other.claims.adopt(7_002))?.former).toEqual(new Map([[0, 4]]))
})

test('attempts of a deleted claim are not stored', async () => {
  const { former, taken } = await useLeftClaims()
  const [claim] = taken
  await former.client.hDel(claimsKey('test'), String(claim?.number))
  expect(
    await former.client.noteAttempts({ registry: claimsKey('test'), claim: claim?.number ?? 0, attempts: '0=2' }),
  ).toBe(0)
  expect(await former.client.hExists(claimsKey('test'), `attempts:${claim?.number}`)).toBe(0)
})
