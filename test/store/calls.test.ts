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

/** The current call of an agent. The tests of this file share one server; each uses its own prefix. */
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

/** Returns the current call after these effects, and checks that every order of commits gives the same. */
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
    'a call to the second number pops after the CDR of the first',
    ['7', B, OPEN],
    [ended(20, 0, ofNobody), call(60, { number: B })],
  ],
  [
    'a late CDR of the first number does not end the call to the second',
    ['7', B, OPEN],
    [call(60, { number: B }), ended(70, 0, ofNobody)],
  ],
  [
    'a late CDR of the first number does not end the second call of the same agent',
    ['7', B, OPEN],
    [call(5), call(60, { number: B }), ended(70, 0)],
  ],
  [
    'a number written with another prefix is the same number',
    null,
    [call(10, { number: '0821111111' }), ended(70, 0, { call_time: 60 })],
  ],
  ['a CDR that names the agent ends the call', null, [call(10), ended(70, 5, { call_time: 60 })]],
  [
    'a CDR that names the agent ends the call even if its call_time is shorter than the ringing',
    null,
    [call(40), ended(45, 5, { call_time: 3 })],
  ],
  [
    'a CDR of another agent does not end the call',
    ['7', A, OPEN],
    [call(10), ended(70, 5, { extension: '1003', call_time: 60 })],
  ],
  ['a reference that restarts pops after its former CDR', ['7', A, OPEN], [ended(10, 0), call(60)]],
  [
    'a late CDR that was dialled an hour before the call leaves the call flagged',
    ['7', A, MAY_BE_OVER],
    [call(60), ended(70, -3600)],
  ],
  [
    'a CDR without an agent ends the call if its call_time reaches past the handover',
    null,
    [call(10), ended(70, 5, { ...ofNobody, call_time: 60 })],
  ],
  [
    'a CDR without an agent that was dialled after the call ends it',
    null,
    [call(10), ended(70, 30, { ...ofNobody, number: null })],
  ],
  [
    'a CDR that may belong to an earlier try of the number leaves the call flagged',
    ['7', A, MAY_BE_OVER],
    [call(30), ended(70, 5, ofNobody)],
  ],
  [
    'a CDR that may belong to an earlier try leaves a call without a number flagged',
    ['7', null, MAY_BE_OVER],
    [call(30, { number: null }), ended(70, 5, { ...ofNobody, number: null })],
  ],
  [
    'a CDR whose dialed_at is unknown ends the call of the agent that it names',
    null,
    [call(30), ended(70, 0, { dialed_at: null as never })],
  ],
  [
    'a CDR whose dialed_at is unknown and that names no agent leaves the call flagged',
    ['7', A, MAY_BE_OVER],
    [call(30), ended(70, 0, { ...ofNobody, dialed_at: null as never })],
  ],
  [
    'after two tries of one number to one agent, one CDR leaves the second call flagged',
    ['7', A, MAY_BE_OVER],
    [call(5), call(60), ended(70, 0, { call_time: 10 })],
  ],
])('CDRs: %s', async (_, expected, effects) => {
  expect(await inAnyOrder(...effects)).toEqual(expected)
})

test('a transferred call stays current for the second agent until a CDR names that agent', async () => {
  const { commit, current } = useCalls()
  const second = agentCall(toEvent('agents', 'call', '1003', { ref: '1003', call_ref: '7', number: A }, 60))
  await commit(call(10), ended(50, 5, { call_time: 40 }), second, ended(70, 5, { call_time: 40 }))
  expect([await current(AGENT), await current('1003')]).toEqual([null, ['7', A, OPEN]])
  await commit(ended(90, 5, { extension: '1003', call_time: 80 }))
  expect(await current('1003')).toBeNull()
})

test.each<[string, unknown, Effect[]]>([
  [
    'offline in another campaign does not end the call',
    ['7', A, OPEN],
    [status('available', 1), status('available', 2, 'c2'), call(10), status('busy', 11), status('offline', 12, 'c2')],
  ],
  [
    'wrapup and offline in another campaign leave a call without busy flagged',
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
    'wrapup in another campaign does not end a call that busy precedes',
    ['7', A, OPEN],
    [status('busy', 9), call(10), status('wrapup', 12, 'c2'), status('available', 13, 'c2')],
  ],
  [
    'wrapup in the campaign of the call ends it',
    null,
    [status('busy', 11), call(10), status('offline', 12, 'c2'), status('wrapup', 20)],
  ],
  [
    'a later available in the campaign of the call ends it if wrapup was lost',
    null,
    [status('available', 1), call(10), status('busy', 11), status('available', 90)],
  ],
  [
    'wrapup ends the call if busy was lost',
    null,
    [status('available', 1), status('available', 2, 'c2'), call(10), status('wrapup', 60)],
  ],
  [
    'offline in every campaign ends the call if busy and wrapup were lost',
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
    'busy and wrapup in another campaign do not end a call that names its campaign',
    ['7', A, OPEN],
    [call(10, { campaign_ref: 'c1' }), status('busy', 11, 'c2'), status('wrapup', 12, 'c2')],
  ],
  [
    'wrapup without a campaign ends a call without a campaign',
    null,
    [call(10), status('busy', 11, null), status('wrapup', 60, null)],
  ],
])('statuses: %s', async (_, expected, effects) => {
  expect(await inAnyOrder(...effects)).toEqual(expected)
})

test('a call to an agent who is already busy ends with wrapup in the busy campaign, not with offline in another', async () => {
  const { commit, current } = useCalls()
  await commit(status('busy', -600), status('available', -600, 'c2'), call(10), status('offline', 20, 'c2'))
  expect(await current()).toEqual(['7', A, OPEN])
  await commit(status('wrapup', 30))
  expect(await current()).toBeNull()
})

test('an available received just after an inbound call from a list does not end the call', async () => {
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

test('a call that is committed after its staleAtMs is recorded as stale and does not pop', async () => {
  const { commit, current, store } = useCalls()
  await commit(call(0, {}, { staleAtMs: BASE_MS + 30_000 }))
  expect([await current(), (await store.read.agent(AGENT))?.calls]).toMatchObject([null, [{ stale: true }]])
})

test.each<[string, Effect[], unknown]>([
  ['pops once', [call(10), call(10.1, {}, { transport: 'list' })], { number: A, stale: false }],
  [
    'is an inbound call with the fields of both copies',
    [call(10), inbound(10.4, { dial_number: '0800' })],
    { direction: 'inbound', dial_number: '0800' },
  ],
  ['pops even if one copy is stale', [call(10), inbound(45, {}, { stale: true })], { number: A, stale: false }],
])('a call that both transports carried %s', async (_, effects, expected) => {
  for (const order of permutations(effects)) {
    const { commit, store } = useCalls()
    for (const effect of order) await commit(effect, effect)
    expect(await store.read.agent(AGENT)).toMatchObject({ call: expected, calls: [expected] })
  }
})

test('two copies without a call_ref are one call if their numbers match, else separate calls', async () => {
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

test('a later call with the same call_ref on the same transport is a new call', async () => {
  const { commit, store } = useCalls()
  await commit(call(10), ended(20, 5, { call_time: 9 }), call(40))
  expect(await store.read.agent(AGENT)).toMatchObject({ call: { call_ref: '7' }, calls: [{}, {}] })
})
