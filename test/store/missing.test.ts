import { afterAll, expect, test } from 'vitest'
import { listMissing } from '../../src/api/index.ts'
import { startRedisServer } from '../../src/local/servers.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import type { AgentCall, Cdr, InboundCall } from '../../src/protocol/index.ts'
import {
  agentCall,
  agentStatus,
  cdr,
  createStore,
  inboundCall,
  relayAlive,
  type Effect,
  type StoreEvent,
} from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { BASE_MS, toEvent } from './events.ts'

/** Calls without a CDR. The tests of this file share one server; each uses its own prefix. */
const redis = await startRedisServer()
const proxy = await startUpstashProxy({ redisUrl: redis.url, token: 't' })
afterAll(async () => {
  await proxy.stop()
  await redis.stop()
})

const AGENT = '1002'
const NUMBER = '27821234567'
const MINUTE = 60
const iso = (at: number) => new Date(BASE_MS + at * 1_000).toISOString()

/** A relay that was ready at this second. */
function alive(at: number, lists: readonly string[] | null = ['enigma:notifications:campaigns']) {
  const payload = { relay: 'r1', sources: ['main'], started: '', ...(lists !== null && { lists: [...lists] }) }
  return relayAlive(toEvent('relay', 'alive', 'r1', payload, at, { transport: 'relay' }))
}
const call = (at: number, own: Partial<AgentCall> = {}, event: Partial<StoreEvent> = {}, agent = AGENT) =>
  agentCall(toEvent('agents', 'call', agent, { ref: agent, call_ref: '7', number: NUMBER, ...own }, at, event))
const status = (word: string, at: number, campaign = 'c1', agent = AGENT) =>
  agentStatus(toEvent('agents', 'status', agent, { ref: agent, status: word, campaign_ref: campaign }, at))
/** A CDR that is received at a second, of a call that was dialled at another one. */
const ended = (at: number, dialed: number, own: Partial<Cdr> = {}, event: Partial<StoreEvent> = {}) => {
  const payload = { call_ref: '7', dialed_at: BASE_MS / 1_000 + dialed, extension: AGENT, number: NUMBER, ref: 'c1' }
  const list = { transport: 'list', ...event } as const
  return cdr(toEvent('campaigns', 'cdr', undefined, { ...payload, ...own }, at, list))
}

let stores = 0
function useCalls() {
  let at = 0
  const prefix = `s${stores++}:`
  const now = () => BASE_MS + at * 1_000
  const store = createStore({ url: proxy.url, token: 't', prefix, now })
  const commit = async (...effects: readonly Effect[]) => store.commit({ effects, done: new Map() })
  return {
    store,
    prefix,
    commit,
    /** Runs the schedule at a second, by default with a ready relay. Returns the references that are then listed. */
    look: async (second: number, isReady = true) => {
      at = second
      if (isReady) await commit(alive(second - 1))
      await listMissing({ read: store.read, commit: store.commit }, { now })
      return (await store.read.missing()).items.map(({ call_ref }) => call_ref)
    },
    /** Commits at a second. */
    at: async (second: number, ...effects: readonly Effect[]) => {
      at = second
      await commit(...effects)
    },
  }
}

test('a call is listed 15 minutes after its agent left it without a CDR, until its CDR is committed', async () => {
  const { store, at, look } = useCalls()
  await at(0, alive(0))
  await at(10, call(10, { contact_ref: 'k1' }), status('busy', 11), status('wrapup', 100))
  expect(await look(100 + 15 * MINUTE - 1)).toEqual([])
  expect(await look(100 + 15 * MINUTE)).toEqual(['7'])
  expect((await store.read.missing()).items).toEqual([
    {
      notification_id: `main/p/${BASE_MS + 10_000}/10`,
      source: 'main',
      call_ref: '7',
      agent: AGENT,
      campaign_ref: 'c1',
      contact_ref: 'k1',
      number: NUMBER,
      direction: 'outbound',
      handed_at: iso(10),
      left_at: iso(100),
      listed_at: iso(100 + 15 * MINUTE),
    },
  ])
  expect(await store.read.missingCount()).toBe(1)
  // Its CDR is committed days later, after a CDR of another call with the same reference.
  const later = 2 * 24 * 3_600
  await at(later, ended(later, later - 60))
  expect(await look(later)).toEqual(['7'])
  await at(later + 1, ended(later + 1, 5, { call_time: 90 }))
  expect([await look(later + 2), await store.read.missingCount()]).toEqual([[], 0])
})

test.each<[string, Effect[]]>([
  ['is received in time', [ended(105, 5, { call_time: 90 })]],
  [
    'is received before the next call',
    [ended(105, 5, { call_time: 90 }), call(120, { call_ref: '8' }), ended(150, 115, { call_ref: '8' })],
  ],
  [
    'is received after the next call',
    [call(120, { call_ref: '8' }), ended(130, 5, { call_time: 90 }), ended(150, 115, { call_ref: '8' })],
  ],
  ['names no agent', [ended(105, 5, { extension: null, call_time: 95 })]],
  ['is received twice', [ended(105, 5, { call_time: 90 }), ended(106, 5, { call_time: 90 })]],
  ['has no dialed_at', [ended(105, 5, { dialed_at: null as never })]],
])('a call whose CDR %s is not listed, in any order of commits', async (_, cdrs) => {
  const own = [call(10), status('busy', 11), status('wrapup', 100), ...cdrs]
  for (const order of [own, own.toReversed(), [...cdrs, ...own], [...own, ...own]]) {
    const { at, look } = useCalls()
    await at(0, alive(0))
    for (const effect of order) await at(200, effect)
    expect(await look(3_600)).toEqual([])
  }
})

test('a CDR of another number, of an earlier try, or of a later call with the same reference is not the CDR of the call', async () => {
  for (const other of [
    ended(105, 5, { number: '27829999999', call_time: 90 }),
    ended(105, -3_600),
    ended(5, -5, {}, { timeMs: BASE_MS + 5_000 }),
    ended(105, 0, { extension: null, call_time: 3 }),
    ended(3_000, 2_900),
  ]) {
    const { at, look } = useCalls()
    await at(0, alive(0))
    await at(10, call(10), status('busy', 11), status('wrapup', 100), other)
    expect(await look(3_600)).toEqual(['7'])
  }
})

test('no call is listed for a source whose CDR list no relay takes', async () => {
  for (const lists of [[], null, ['enigma:notifications:inbound'], ['enigma:notifications:cdr']]) {
    const { at, look } = useCalls()
    await at(0, alive(0, lists))
    await at(10, call(10), status('wrapup', 100))
    expect(await look(3_600)).toEqual([])
  }
  const { at, look } = useCalls()
  await at(0, alive(0))
  await at(10, call(10, {}, { source: 'north' }), status('wrapup', 100))
  expect(await look(3_600)).toEqual([])
})

test('no call is listed while no relay is ready or the ready relay does not take the CDR list', async () => {
  const { at, look } = useCalls()
  await at(0, alive(0))
  await at(10, call(10), status('wrapup', 100))
  expect(await look(3_600, false)).toEqual([])
  await at(3_601, alive(3_601, []))
  expect(await look(3_602, false)).toEqual([])
  expect(await look(3_700)).toEqual(['7'])
})

test('a Click2Dial call is listed if a relay takes the CDR list of Click2Dial', async () => {
  const inbound = (at: number, own: Partial<InboundCall> = {}) =>
    inboundCall(
      toEvent('inbound', 'call', undefined, { ref: '801', call_ref: 'i1', ...own }, at, { transport: 'list' }),
    )
  const { store, at, look } = useCalls()
  await at(0, alive(0, ['enigma:notifications:cdr', 'enigma:notifications:inbound']))
  await at(
    10,
    inbound(10),
    inbound(60, { call_ref: 'i2' }),
    ended(70, 55, { call_ref: 'i2', extension: '801', number: null }),
  )
  await at(2_000, alive(2_000, ['enigma:notifications:cdr']))
  expect(await look(2_001, false)).toEqual(['i1'])
  expect((await store.read.missing()).items).toMatchObject([{ direction: 'inbound', agent: '801', left_at: iso(60) }])
})

test('a call that no status ends is listed two hours and 15 minutes after its start', async () => {
  const { store, at, look } = useCalls()
  await at(0, alive(0))
  await at(10, status('available', 1, 'c1'), call(10), status('busy', 11), status('available', 20, 'c2'))
  expect(await look(3_600)).toEqual([])
  expect(await look(10 + 7_200 + 15 * MINUTE - 1)).toEqual([])
  expect(await look(10 + 7_200 + 15 * MINUTE)).toEqual(['7'])
  expect((await store.read.missing()).items).toMatchObject([{ left_at: null }])
})

test('a call is listed once and awaits one CDR if both transports carry it, it is transferred or its number is tried again', async () => {
  const copy = call(10.2, {}, { transport: 'list' })
  const second = call(60, {}, {}, '1003')
  for (const [effects, cdrs] of [
    [[call(10), copy], [ended(105, 5, { call_time: 90 })]],
    [[copy, call(10)], [ended(105, 5, { call_time: 90 })]],
    [[call(10), second], [ended(105, 5, { call_time: 95, extension: '1003' })]],
    [[second, call(10)], [ended(105, 5, { call_time: 95, extension: '1003' })]],
    [[call(10), second], [ended(105, 5, { call_time: 95 })]],
    [[call(10), call(60)], [ended(105, 55, { call_time: 45 })]],
  ] as const) {
    const { at, look } = useCalls()
    await at(0, alive(0))
    for (const effect of effects) await at(61, effect)
    await at(100, status('wrapup', 100), status('wrapup', 100, 'c1', '1003'))
    expect(await look(2_000)).toEqual(['7'])
    await at(2_001, ...cdrs)
    expect(await look(2_002)).toEqual([])
  }
})

test('a call that is committed late is listed 15 minutes after its commit', async () => {
  const { at, look } = useCalls()
  await at(0, alive(0))
  await at(3_000, alive(2_999), call(10, {}, { stale: true }), status('wrapup', 100))
  expect(await look(3_000 + 15 * MINUTE - 1)).toEqual([])
  expect(await look(3_000 + 15 * MINUTE)).toEqual(['7'])
})

test('the list is filtered and paged, newest first, and holds the last 50 calls of an agent; every key expires', async () => {
  const { store, prefix, at, look } = useCalls()
  await at(0, alive(0))
  for (let n = 0; n < 60; n++) await at(n, call(n, { call_ref: `c${n}`, campaign_ref: n % 2 === 0 ? 'even' : 'odd' }))
  await at(
    70,
    call(70, { call_ref: 'other' }, {}, '1003'),
    status('wrapup', 80, 'odd'),
    status('wrapup', 80, 'c1', '1003'),
  )
  await look(2_000)
  // The last 50 of one agent.
  expect(await store.read.missingCount()).toBe(51)
  const found: string[] = []
  for (let cursor: string | undefined; ;) {
    const page = await store.read.missing({ agent: AGENT, campaign: 'odd', limit: 4, cursor })
    found.push(...page.items.map(({ call_ref }) => call_ref))
    if (page.next === null) break
    cursor = page.next
  }
  expect(found).toEqual(Array.from({ length: 25 }, (_, n) => `c${59 - 2 * n}`))
  expect((await store.read.missing({ source: 'main' })).items).toHaveLength(51)
  expect((await store.read.missing({ source: 'north' })).items).toEqual([])
  const client = await useRedisClient(redis.url)
  for (const key of await client.keys(`${prefix}*`)) expect([key, (await client.ttl(key)) > 0]).toEqual([key, true])
})
