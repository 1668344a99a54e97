import { expect, test } from 'vitest'
import { createRandom } from '../../src/simulator/random.ts'
import {
  agentCall,
  agentStats,
  agentStatus,
  campaignStatus,
  cdr,
  createStore,
  inboundCall,
  latest,
  relayGap,
  type Effect,
  type StoreOptions,
} from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

/** The wall reads only documents that were written since its last read. It must equal a wall that reads everything. */

const RULE = { reasons: ['hungup', 'callee_hungup'], of: 'answered', threshold: 0.03 } as const
const MINUTE_MS = 60_000

async function useWall(options: Partial<StoreOptions> = {}) {
  const clock = { ms: BASE_MS }
  const now = () => clock.ms
  const { store, proxy, redis } = await useStore({ now, ...options })
  const client = await useRedisClient(redis.url)
  return {
    clock,
    client,
    proxy,
    commit: (...effects: Effect[]) => store.commit({ effects, done: new Map() }),
    wall: () => store.read.wall(RULE),
    /** Of a new process, which has to read everything. */
    whole: () => createStore({ url: proxy.url, token: 'test-token', now, ...options }).read.wall(RULE),
    requestsOf: async (run: () => Promise<unknown>) => {
      const before = proxy.seen.requests
      await run()
      return proxy.seen.requests - before
    },
  }
}

const status = (ref: string, word: string, at: number, campaign = 'c1') =>
  agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: campaign }, at))

/** Random events of a call centre, some of them late, repeated, on another transport or about new agents. */
function createChance(seed: number) {
  const random = createRandom(seed)
  const pick = <T>(some: readonly T[]): T => some[Math.floor(random.between(0, some.length))] as T
  const refs = ['1', '2', '3', '4', '5', 'x'.repeat(600)]
  const transport = () => pick(['pubsub', 'pubsub', 'list'] as const)
  const kinds: ((at: number) => Effect)[] = [
    (at) => status(pick(refs), pick(['busy', 'wrapup', 'available', 'offline']), at, pick(['c1', 'c2', ''])),
    (at) =>
      agentCall(
        toEvent('agents', 'call', pick(refs), { call_ref: pick(['7', '8', '9']), number: '27821234567' }, at, {
          transport: transport(),
        }),
      ),
    (at) =>
      inboundCall(toEvent('inbound', 'call', pick(refs), { call_ref: pick(['7', '8']) }, at, { transport: 'list' })),
    (at) =>
      cdr(
        toEvent(
          'campaigns',
          'cdr',
          undefined,
          {
            call_ref: pick(['7', '8', '9']),
            dialed_at: BASE_MS / 1_000 + at - 5,
            ref: pick(['c1', 'c3', undefined]),
            extension: pick([...refs, null]),
            end_reason: pick(['hungup', 'busy']),
            call_time: pick([0, 3, 40]),
          },
          at,
          { transport: 'list' },
        ),
      ),
    (at) =>
      campaignStatus(
        toEvent('campaigns', 'status', pick(['c1', 'c2', 'c4']), { status: pick(['started', 'stopped']) }, at),
      ),
    (at) => agentStats(toEvent('agents', 'stats', pick(['1', 's1', 's2']), { campaign_ref: 'c1', calls: 1 }, at)),
    (at) => latest(toEvent('agents', 'break', pick(refs), { minutes: 1 }, at)),
    (at) =>
      relayGap(
        toEvent(
          'relay',
          'gap',
          'main',
          {
            source: 'main',
            relay: 'r',
            from: '',
            to: new Date(BASE_MS + at * 1_000).toISOString(),
            cause: 'reconnect',
            patterns: [],
          },
          at,
          { transport: 'relay' },
        ),
      ),
  ]
  return {
    /** Effects of this second, some of which are told later than others. */
    next: (second: number): Effect[] =>
      Array.from({ length: Math.ceil(random.between(0, 6)) }, () =>
        pick([...kinds, ...kinds.slice(0, 4)])(second - pick([0, 0, 0, 1, 4, 30])),
      ),
    seconds: () => pick([0, 1, 2, 2, 40]),
  }
}

test.each([1, 2, 3])(
  'after each commit of random events, the wall equals a wall that reads everything (seed %i)',
  { timeout: 60_000 },
  async (seed) => {
    const { clock, commit, wall, whole } = await useWall()
    const chance = createChance(seed)
    for (let second = 60, round = 0; round < 60; round++) {
      second += chance.seconds()
      clock.ms = BASE_MS + second * 1_000
      await commit(...chance.next(second))
      expect([round, await wall()]).toEqual([round, await whole()])
    }
  },
)

test('a status that is too late to be shown can still end a call', async () => {
  const { commit, wall, whole } = await useWall()
  const call = (at: number, callRef: string) =>
    agentCall(toEvent('agents', 'call', '1', { call_ref: callRef, campaign_ref: 'c1' }, at))
  await commit(status('1', 'busy', 1), call(2, '7'), status('1', 'busy', 9))
  expect((await wall()).totals.calls).toBe(1)
  await commit(status('1', 'wrapup', 5))
  expect([(await wall()).totals.calls, await wall()]).toEqual([0, await whole()])
})

test('the wall reads only the documents that were written since its last read', async () => {
  const { commit, wall, proxy } = await useWall()
  await commit(...Array.from({ length: 300 }, (_, n) => status(`agent-${n}`, 'busy', 1, `campaign-${n % 3}`)))
  const bytesOf = async () => {
    const before = proxy.seen.replyBytes
    await wall()
    return proxy.seen.replyBytes - before
  }
  const [first, again] = [await bytesOf(), await bytesOf()]
  await commit(status('agent-7', 'wrapup', 2))
  const changed = await bytesOf()
  // The names of all agents come each time.
  expect([again < first / 10, changed - again > 100, changed - again < 1_000]).toEqual([true, true, true])
})

test('the wall reads everything if its cursor is gone, if a commit names no documents, and every five minutes', async () => {
  const { clock, client, commit, wall, whole, requestsOf } = await useWall()
  await commit(status('1', 'busy', 1))
  await wall()
  await commit(status('1', 'wrapup', 2))
  await commit(status('2', 'busy', 2))
  await client.xTrim('enigma:changes', 'MAXLEN', 1)
  // One request finds that the cursor is gone, and two read everything.
  expect(await requestsOf(wall)).toBe(3)
  expect(await wall()).toEqual(await whole())
  // An entry of the change stream that names no documents: there were too many, or an earlier version wrote it.
  await commit(status('3', 'busy', 3))
  await client.xAdd('enigma:changes', '*', { changes: '[]' })
  expect(await requestsOf(wall)).toBe(3)
  expect(await requestsOf(wall)).toBe(1)
  await client.del('enigma:agent:1')
  expect((await wall()).totals.agents['unknown']).toBeUndefined()
  clock.ms += 5 * MINUTE_MS
  expect(await requestsOf(wall)).toBe(2)
  expect((await wall()).totals.agents['unknown']).toBe(1)
  await client.flushAll()
  expect(await wall()).toEqual(await whole())
})

test('a document that may have expired, or whose age is unknown, is read each time', async () => {
  const { clock, client, commit, wall } = await useWall({ expiries: { agent: 3_600 } })
  await commit(status('1', 'busy', 1))
  const stateOf = async () => (await wall()).agents[0]?.status
  expect(await stateOf()).toBe('busy')
  const text = await client.get('enigma:agent:1')
  clock.ms += 60 * MINUTE_MS - 30_000
  // All is read after such a pause.
  expect(await stateOf()).toBe('busy')
  await client.del('enigma:agent:1')
  expect(await stateOf()).toBe(null)
  await client.set('enigma:agent:1', String(text))
  expect(await stateOf()).toBe(null)
})

test('concurrent calls of the wall share reads, and each call gets a read that began after it', async () => {
  const { commit, wall, requestsOf } = await useWall()
  await commit(status('1', 'busy', 1))
  await wall()
  const first = wall()
  // It is on its way, so the others share the next one.
  await Promise.resolve()
  expect(await requestsOf(async () => Promise.all(Array.from({ length: 20 }, wall)))).toBeLessThanOrEqual(2)
  await first
  const late = commit(status('1', 'wrapup', 2)).then(wall)
  await Promise.all(Array.from({ length: 5 }, wall))
  expect((await late).agents[0]?.status).toBe('wrapup')
})
