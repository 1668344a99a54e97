import fc from 'fast-check'
import { expect, test } from 'vitest'
import { agentCall, agentStatus, cdr, createStore, inboundCall, type Effect } from '../../src/store/index.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const status = (word: string, at: number, campaign: string | null = 'c1', ref = '1002') =>
  agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: campaign, ref }, at))
const call = (callRef: string, at: number, more: { stale?: boolean; campaign?: string } = {}) =>
  agentCall(
    toEvent(
      'agents',
      'call',
      '1002',
      {
        ref: '1002',
        call_ref: callRef,
        contact_ref: `k${callRef}`,
        number: '27821234567',
        ...(more.campaign === undefined ? {} : { campaign_ref: more.campaign }),
      },
      at,
      { stale: more.stale ?? false },
    ),
  )
const ended = (callRef: string, at: number, agent: string | null = '1002') =>
  cdr(
    toEvent(
      'campaigns',
      'cdr',
      undefined,
      { call_ref: callRef, dialed_at: BASE_MS / 1000 + at, extension: agent, end_reason: 'hungup', ref: 'c1' },
      at,
      { transport: 'list' },
    ),
  )
const done = new Map<string, string[]>()
const DAY = 24 * 3600

test('an agent has a state in each campaign, and a repeated state keeps its since', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [status('available', 1), status('busy', 2, 'c2'), status('available', 3)], done })
  const agent = await store.read.agent('1002')
  expect(agent?.states.map(({ campaign_ref, status: word, since }) => [campaign_ref, word, since])).toEqual([
    ['c1', 'available', new Date(BASE_MS + 1000).toISOString()],
    ['c2', 'busy', new Date(BASE_MS + 2000).toISOString()],
  ])
  expect(await store.read.agent('nobody')).toBeNull()
})

test('an unexpected state is stored and flagged once; a first state or an unknown one is not flagged', async () => {
  const { store } = await useStore()
  const odd = status('wrapup', 2)
  await store.commit({ effects: [status('available', 1), odd, odd, status('lunch', 3), status('available', 4)], done })
  const [state] = (await store.read.agent('1002'))?.states ?? []
  expect(state).toMatchObject({
    status: 'available',
    unexpected: { from: 'available', to: 'wrapup' },
    unexpected_count: 1,
  })
})

test('an older status never overwrites a newer one', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [status('busy', 5)], done })
  await store.commit({ effects: [status('available', 4)], done })
  expect((await store.read.agent('1002'))?.states[0]?.status).toBe('busy')
})

test('a status that ends a call does so only in its campaign: the one it names, else the one in which the agent became busy', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [call('1', 1, { campaign: 'c1' }), status('wrapup', 2, 'c2')], done })
  expect((await store.read.agent('1002'))?.call?.call_ref).toBe('1')
  await store.commit({ effects: [status('offline', 3, 'c1')], done })
  expect((await store.read.agent('1002'))?.call).toBeNull()
  await store.commit({ effects: [call('2', 4), status('busy', 5)], done })
  expect((await store.read.agent('1002'))?.call).toMatchObject({
    call_ref: '2',
    contact_ref: 'k2',
    number: '27821234567',
    direction: 'outbound',
  })
  await store.commit({ effects: [status('wrapup', 6, 'c9'), status('offline', 7, 'c9')], done })
  expect((await store.read.agent('1002'))?.call).toMatchObject({ call_ref: '2' })
  await store.commit({ effects: [status('wrapup', 8)], done })
  expect((await store.read.agent('1002'))?.call).toBeNull()
  for (const [index, word] of ['wrapup', 'logging_out', 'offline', 'logging_in', 'available'].entries()) {
    const at = 10 + 5 * index
    await store.commit({ effects: [call(`${at}`, at), status('busy', at + 1), status(word, at + 2, 'c9')], done })
    expect([word, (await store.read.agent('1002'))?.call]).toMatchObject([word, { call_ref: `${at}` }])
    await store.commit({ effects: [status(word, at + 3)], done })
    expect([word, (await store.read.agent('1002'))?.call]).toEqual([word, null])
  }
})

test('a CDR ends only the call with its call_ref, even if the CDR is committed before the call', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [call('1', 1), ended('9', 2)], done })
  expect((await store.read.agent('1002'))?.call?.call_ref).toBe('1')
  await store.commit({ effects: [ended('1', 3, null)], done })
  expect((await store.read.agent('1002'))?.call).toBeNull()
  await store.commit({ effects: [ended('2', 5)], done })
  await store.commit({ effects: [call('2', 4)], done })
  const agent = await store.read.agent('1002')
  expect(agent?.call).toBeNull()
  expect(agent?.calls.map(({ call_ref }) => call_ref)).toEqual(['2', '1'])
})

test('a CDR of another dialler ends no call, though it has the same call_ref and agent', async () => {
  const { store } = await useStore()
  const ofAnother = cdr(
    toEvent(
      'campaigns',
      'cdr',
      undefined,
      { call_ref: '1', dialed_at: BASE_MS / 1000, extension: '1002', end_reason: 'hungup', ref: 'c1' },
      2,
      { source: 'another', transport: 'list' },
    ),
  )
  await store.commit({ effects: [call('1', 1), ofAnother], done })
  expect((await store.read.agent('1002'))?.call?.call_ref).toBe('1')
  await store.commit({ effects: [ofAnother, call('2', 3), ended('2', 4)], done })
  expect((await store.read.agent('1002'))?.call).toBeNull()
})

test('a stale call is recorded as stale and never current', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [call('1', 1, { stale: true })], done })
  const agent = await store.read.agent('1002')
  expect(agent).toMatchObject({ call: null, calls: [{ call_ref: '1', stale: true }] })
})

test('a status of the same extension on another dialler ends no call, and its state is stored separately', async () => {
  const { store } = await useStore()
  const north = (word: string, at: number) =>
    agentStatus(
      toEvent('agents', 'status', '1002', { status: word, campaign_ref: 'c1', ref: '1002' }, at, {
        source: 'north',
        id: `north/p/1/${at}`,
      }),
    )
  await store.commit({
    effects: [status('busy', 1), call('7', 2), north('wrapup', 3), north('offline', 9), call('8', 4)],
    done,
  })
  expect(await store.read.agent('1002')).toMatchObject({
    states: [
      { source: 'main', campaign_ref: 'c1', status: 'busy', unexpected: null },
      { source: 'north', campaign_ref: 'c1', status: 'offline' },
    ],
    call: { call_ref: '8' },
  })
  await store.commit({ effects: [status('wrapup', 5)], done })
  expect((await store.read.agent('1002'))?.call).toBeNull()
})

test('G4: a call that becomes stale between two attempts is stored once and stays current', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [call('7', 1)], done })
  await store.commit({ effects: [call('7', 1, { stale: true })], done })
  expect(await store.read.agent('1002')).toMatchObject({
    call: { call_ref: '7' },
    calls: [{ call_ref: '7', stale: false }],
  })
  expect((await store.read.agent('1002'))?.calls).toHaveLength(1)
})

test('an agent has states only in the campaigns of the last days, and an agent without recent states is not listed', async () => {
  let nowMs = BASE_MS
  const { store } = await useStore({ now: () => nowMs })
  await store.commit({ effects: [status('offline', 0, 'c0', '1001')], done })
  for (let day = 0; day < 20; day += 2) {
    nowMs = BASE_MS + day * DAY * 1000
    // In one campaign all the time, and in each of the others for a day.
    await store.commit({
      effects: [status('busy', day * DAY, 'all'), status('wrapup', day * DAY + 1, `c${day}`)],
      done,
    })
  }
  expect((await store.read.agent('1002'))?.states.map((state) => state.campaign_ref)).toEqual([
    'all',
    'c12',
    'c14',
    'c16',
    'c18',
  ])
  expect((await store.read.agents()).items.map(({ ref }) => ref)).toEqual(['1002'])
})

test('an inbound call from a list is compared with a status by time', async () => {
  const { store } = await useStore()
  const inbound = (at: number) =>
    inboundCall(
      toEvent('inbound', 'call', undefined, { ref: '1002', call_ref: `i${at}`, call_dir: 'inbound' }, at, {
        transport: 'list',
        sequence: `9.${at}`,
      }),
    )
  await store.commit({ effects: [status('wrapup', 5), inbound(4)], done })
  expect((await store.read.agent('1002'))?.call).toBeNull()
  await store.commit({ effects: [inbound(6)], done })
  expect((await store.read.agent('1002'))?.call).toMatchObject({ call_ref: 'i6', direction: 'inbound' })
})

test('a history committed twice in any order gives the same states and current call as the right order', async () => {
  const { proxy } = await useStore()
  const words = ['available', 'busy', 'wrapup', 'logging_out', 'offline', 'logging_in']
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('status' as const),
      word: fc.constantFrom(...words),
      campaign: fc.constantFrom('c1', 'c2'),
    }),
    fc.record({ kind: fc.constant('call' as const), campaign: fc.constantFrom('c1', 'c2', undefined) }),
    fc.record({ kind: fc.constant('cdr' as const), of: fc.nat(9) }),
  )
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 9 }),
      fc.infiniteStream(fc.nat(1000)),
      async (steps, random) => {
        const history: Effect[] = steps.map((one, at) =>
          one.kind === 'status'
            ? status(one.word, at, one.campaign)
            : one.kind === 'call'
              ? call(String(at), at, one.campaign === undefined ? {} : { campaign: one.campaign })
              : ended(String(one.of % steps.length), at),
        )
        const shuffled = [...history, ...history]
          .map((effect) => ({ effect, key: random.next().value as number }))
          .toSorted((a, b) => a.key - b.key)
        const open = () => createStore({ url: proxy.url, token: 'test-token', prefix: `run${run++}:` })
        const [right, other] = [open(), open()]
        await right.commit({ effects: history, done })
        for (const { effect } of shuffled) await other.commit({ effects: [effect], done })
        const [expected, actual] = await Promise.all([right.read.agent('1002'), other.read.agent('1002')])
        expect(actual?.call?.call_ref ?? null).toBe(expected?.call?.call_ref ?? null)
        const states = (agent: typeof expected) => agent?.states.map((state) => [state.campaign_ref, state.status])
        expect(states(actual)).toEqual(states(expected))
      },
    ),
    { numRuns: 60 },
  )
})
