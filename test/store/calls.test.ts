import { afterAll, expect, test } from 'vitest'
import type { AgentCall, Cdr, InboundCall } from '../../src/protocol/index.ts'
import {
  agentCall,
  agentStatus,
  cdr,
  createStore,
  inboundCall,
  type Effect,
  type StoreEvent,
  type StoreOptions,
} from '../../src/store/index.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import { startRedisServer } from '../../src/local/servers.ts'
import { BASE_MS, toEvent } from './events.ts'

/** Which call an agent has. One server for all tests of this file; each has a prefix of its own. */
const redis = await startRedisServer()
const proxy = await startUpstashProxy({ redisUrl: redis.url, token: 't' })
afterAll(async () => {
  await proxy.stop()
  await redis.stop()
})

const [A, B] = ['27821111111', '27822222222']
const AGENT = '1002'

const call = (at: number, own: Partial<AgentCall> = {}, event: Partial<StoreEvent> = {}) =>
  agentCall(toEvent('agents', 'call', AGENT, { ref: AGENT, call_ref: '7', number: A, ...own }, at, event))
const inbound = (at: number, own: Partial<InboundCall> = {}, event: Partial<StoreEvent> = {}) =>
  inboundCall(
    toEvent('inbound', 'call', undefined, { ref: AGENT, call_ref: '7', number: A, ...own }, at, {
      transport: 'list',
      ...event,
    }),
  )
const status = (word: string, at: number, campaign: string | null = 'c1') =>
  agentStatus(toEvent('agents', 'status', AGENT, { ref: AGENT, status: word, campaign_ref: campaign }, at))
/** A CDR that is received at a second, of a call that was dialled at another one. */
const ended = (at: number, dialed: number, own: Partial<Cdr> = {}) => {
  const payload = { call_ref: '7', dialed_at: BASE_MS / 1000 + dialed, extension: AGENT, number: A, ref: 'c1', ...own }
  return cdr(toEvent('campaigns', 'cdr', undefined, payload as Cdr, at, { transport: 'list' }))
}

let stores = 0
function useCalls(options: Partial<StoreOptions> = {}) {
  const store = createStore({
    url: proxy.url,
    token: 't',
    prefix: `s${stores++}:`,
    now: () => BASE_MS + 3600_000,
    ...options,
  })
  return {
    store,
    commit: async (...effects: Effect[]) => store.commit({ effects, done: new Map() }),
    /** The reference and the number of the current call, and whether it may be over. */
    current: async (ref = AGENT) => {
      const agent = await store.read.agent(ref)
      return agent?.call ? [agent.call.call_ref, agent.call.number, agent.call_unsure] : null
    },
  }
}

/** Each order in which these can be written. */
function* permutations<T>(items: readonly T[]): Generator<T[]> {
  if (items.length < 2) yield [...items]
  for (const [at, item] of items.entries())
    for (const rest of permutations(items.filter((_, index) => index !== at))) yield [item, ...rest]
}

/** What the agent has after these, in whatever order they were written. */
async function inAnyOrder(...effects: Effect[]) {
  const found = await Promise.all(
    [...permutations(effects)].map(async (order) => {
      const { commit, current } = useCalls()
      await commit(...order)
      return current()
    }),
  )
  const all = [...new Set(found.map((one) => JSON.stringify(one)))]
  expect(all).toHaveLength(1)
  return found[0]
}

const ofNobody = { extension: null }
const OPEN = false
const MAY_BE_OVER = true

test.each<[string, unknown, Effect[]]>([
  [
    'the second number of a call pops, after the CDR of the first',
    ['7', B, OPEN],
    [ended(20, 0, ofNobody), call(60, { number: B })],
  ],
  ['and its late CDR ends nothing', ['7', B, OPEN], [call(60, { number: B }), ended(70, 0, ofNobody)]],
  ['nor when the agent took the first number too', ['7', B, OPEN], [call(5), call(60, { number: B }), ended(70, 0)]],
  [
    'a number written with another prefix is the same number',
    null,
    [call(10, { number: '0821111111' }), ended(70, 0, { call_time: 60 })],
  ],
  ['a CDR that names the agent ends the call', null, [call(10), ended(70, 5, { call_time: 60 })]],
  ['also where it rang for longer than they talked', null, [call(40), ended(45, 5, { call_time: 3 })]],
  [
    'a CDR of another agent ends nothing',
    ['7', A, OPEN],
    [call(10), ended(70, 5, { extension: '1003', call_time: 60 })],
  ],
  ['a reference that restarts pops after its former CDR', ['7', A, OPEN], [ended(10, 0), call(60)]],
  [
    'a CDR of an hour before comes late: nothing says that it is of this call',
    ['7', A, MAY_BE_OVER],
    [call(60), ended(70, -3600)],
  ],
  [
    'a CDR without agent that talked past the handover ends the call',
    null,
    [call(10), ended(70, 5, { ...ofNobody, call_time: 60 })],
  ],
  ['one that was dialled after the call ends it', null, [call(10), ended(70, 30, { ...ofNobody, number: null })]],
  [
    'one that may be an earlier try of the number leaves it, flagged',
    ['7', A, MAY_BE_OVER],
    [call(30), ended(70, 5, ofNobody)],
  ],
  [
    'without numbers too',
    ['7', null, MAY_BE_OVER],
    [call(30, { number: null }), ended(70, 5, { ...ofNobody, number: null })],
  ],
  [
    'a CDR whose dialed_at is unknown ends the call of the agent that it names',
    null,
    [call(30), ended(70, 0, { dialed_at: null as never })],
  ],
  [
    'but flags it where it names none',
    ['7', A, MAY_BE_OVER],
    [call(30), ended(70, 0, { ...ofNobody, dialed_at: null as never })],
  ],
  [
    'of two tries of one number to one agent, the first CDR does not end the second call for certain',
    ['7', A, MAY_BE_OVER],
    [call(5), call(60), ended(70, 0, { call_time: 10 })],
  ],
])('CDRs: %s', async (_, expected, effects) => {
  expect(await inAnyOrder(...effects)).toEqual(expected)
})

test('a transferred call is the current call of the second agent, whatever CDR the first one has', async () => {
  const { commit, current } = useCalls()
  const second = agentCall(toEvent('agents', 'call', '1003', { ref: '1003', call_ref: '7', number: A }, 60))
  await commit(call(10), ended(50, 5, { call_time: 40 }), second, ended(70, 5, { call_time: 40 }))
  expect([await current(AGENT), await current('1003')]).toEqual([null, ['7', A, OPEN]])
  await commit(ended(90, 5, { extension: '1003', call_time: 80 }))
  expect(await current('1003')).toBeNull()
})

test.each<[string, unknown, Effect[]]>([
  [
    'another campaign does not end it',
    ['7', A, OPEN],
    [status('available', 1), status('available', 2, 'c2'), call(10), status('busy', 11), status('offline', 12, 'c2')],
  ],
  [
    'nor while busy has not come',
    ['7', A, MAY_BE_OVER],
    [
      status('available', 1),
      status('available', 2, 'c2'),
      call(10),
      status('wrapup', 9, 'c2'),
      status('offline', 12, 'c2'),
    ],
  ],
  [
    'nor where busy came before the call',
    ['7', A, OPEN],
    [status('busy', 9), call(10), status('wrapup', 12, 'c2'), status('available', 13, 'c2')],
  ],
  ['its own ends it', null, [status('busy', 11), call(10), status('offline', 12, 'c2'), status('wrapup', 20)]],
  [
    'a later available of its own ends it, where wrapup was lost',
    null,
    [status('available', 1), call(10), status('busy', 11), status('available', 90)],
  ],
  [
    'where busy was lost, wrapup tells',
    null,
    [status('available', 1), status('available', 2, 'c2'), call(10), status('wrapup', 60)],
  ],
  [
    'where nothing tells, an agent that is logged in nowhere has no call',
    null,
    [
      status('available', 1),
      status('available', 2, 'c2'),
      call(10),
      status('offline', 60),
      status('offline', 61, 'c2'),
    ],
  ],
  [
    'a call that names its campaign is ended by it alone',
    ['7', A, OPEN],
    [call(10, { campaign_ref: 'c1' }), status('busy', 11, 'c2'), status('wrapup', 12, 'c2')],
  ],
  ['a dialler that names no campaigns', null, [call(10), status('busy', 11, null), status('wrapup', 60, null)]],
])('statuses: %s', async (_, expected, effects) => {
  expect(await inAnyOrder(...effects)).toEqual(expected)
})

test('an agent that is busy for long keeps a call that is handed over meanwhile, until the end of that campaign', async () => {
  const { commit, current } = useCalls()
  await commit(status('busy', -600), status('available', -600, 'c2'), call(10), status('offline', 20, 'c2'))
  expect(await current()).toEqual(['7', A, OPEN])
  await commit(status('wrapup', 30))
  expect(await current()).toBeNull()
})

test('a status that two transports carried past a call of the other one does not end it', async () => {
  const { commit, current } = useCalls()
  // The list was read a moment before the channel: `available` was sent before the call.
  await commit(inbound(10), status('available', 10.2), status('busy', 10.6))
  expect(await current()).toEqual(['7', A, OPEN])
})

test('no call is current for longer than two hours, or than the setting', async () => {
  let nowMs = BASE_MS
  const now = () => nowMs
  const [usual, short] = [useCalls({ now }), useCalls({ now, callLimitSeconds: 60 })]
  for (const { commit } of [usual, short]) await commit(call(0), status('busy', 1))
  nowMs += 61_000
  expect([await usual.current(), await short.current()]).toEqual([['7', A, OPEN], null])
  nowMs += 7_200_000
  expect(await usual.current()).toBeNull()
  expect((await usual.store.read.agent(AGENT))?.calls).toHaveLength(1)
})

test('a call that is committed when it has grown stale is recorded as stale and does not pop', async () => {
  const { commit, current, store } = useCalls()
  await commit(call(0, {}, { staleAtMs: BASE_MS + 30_000 }))
  expect([await current(), (await store.read.agent(AGENT))?.calls]).toMatchObject([null, [{ stale: true }]])
})

test.each<[string, Effect[], unknown]>([
  ['pops once', [call(10), call(10.1, {}, { transport: 'list' })], { number: A, stale: false }],
  [
    'as inbound, with all that is known of it',
    [call(10), inbound(10.4, { dial_number: '0800' })],
    { direction: 'inbound', dial_number: '0800' },
  ],
  ['though one of them is stale', [call(10), inbound(45, {}, { stale: true })], { number: A, stale: false }],
])('a call that both transports carried %s', async (_, effects, expected) => {
  for (const order of permutations(effects)) {
    const { commit, store } = useCalls()
    for (const effect of order) await commit(effect, effect)
    expect(await store.read.agent(AGENT)).toMatchObject({ call: expected, calls: [expected] })
  }
})

test('a call without a reference on both transports is one call when it has one number, else two', async () => {
  const none = { call_ref: null }
  const { store, commit, current } = useCalls()
  await commit(call(0, none), inbound(1, { ...none, number: `+${A}` }))
  expect(await current()).toEqual([null, `+${A}`, false])
  expect((await store.read.agent(AGENT))?.calls).toHaveLength(1)
  await commit(
    inbound(2, { ...none, number: B }),
    call(3, { ...none, number: null }),
    inbound(4, { ...none, number: null }),
  )
  expect((await store.read.agent(AGENT))?.calls).toHaveLength(4)
})

test('the second copy of a call that has ended does not pop', async () => {
  const copy = call(15, {}, { transport: 'list' })
  expect(await inAnyOrder(call(10), ended(14, 5, { call_time: 9 }), copy)).toBeNull()
})

test('the same reference again on one transport is another call', async () => {
  const { commit, store } = useCalls()
  await commit(call(10), ended(20, 5, { call_time: 9 }), call(40))
  expect(await store.read.agent(AGENT)).toMatchObject({ call: { call_ref: '7' }, calls: [{}, {}] })
})
