import { expect, test } from 'vitest'
import {
  agentCall,
  agentStatus,
  campaignStatus,
  relayGap,
  type Effect,
  type StoreEvent,
} from '../../src/store/index.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const iso = (at: number) => new Date(BASE_MS + at * 1_000).toISOString()
const RESYNC = { transport: 'resync' } as const
const agent = (word: string, at: number, own: Partial<StoreEvent> = {}, ref = '1002') =>
  agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: 'c1' }, at, own))
const campaign = (word: string, at: number, own: Partial<StoreEvent> = {}, ref = 'c1') =>
  campaignStatus(toEvent('campaigns', 'status', ref, { status: word }, at, own))
const gap = (at: number) => {
  const payload = { source: 'main', relay: 'r1', from: iso(at - 3), to: iso(at), cause: 'reconnect', patterns: ['*'] }
  return relayGap(toEvent('relay', 'gap', 'main', payload, at, { transport: 'relay' }))
}

async function useStates() {
  const { store } = await useStore()
  return {
    store,
    commit: async (...effects: readonly Effect[]) => store.commit({ effects, done: new Map() }),
    states: async () => {
      const [one, own] = [await store.read.agent('1002'), await store.read.campaign('c1')]
      return [one?.states.map(({ status, unsure }) => [status, unsure]), own?.status, own?.unsure]
    },
  }
}

test('states from before a gap are sure again when a resync confirms or corrects them', async () => {
  const { store, commit, states } = await useStates()
  await commit(agent('available', 1), campaign('started', 1), gap(10))
  expect(await states()).toEqual([[['available', true]], 'started', true])
  await commit(agent('wrapup', 10, RESYNC), campaign('started', 10, RESYNC))
  expect(await states()).toEqual([[['wrapup', false]], 'started', false])
  // After a gap no state is unexpected. A confirmed state keeps its `since` and adds nothing to the history.
  expect(await store.read.agent('1002')).toMatchObject({ states: [{ since: iso(10), unexpected_count: 0 }] })
  expect(await store.read.campaign('c1')).toMatchObject({ since: iso(1), history: [{ at: iso(1) }] })
  await commit(gap(20), agent('wrapup', 20, RESYNC), campaign('stopped', 20, RESYNC))
  expect(await states()).toEqual([[['wrapup', false]], 'stopped', false])
  expect(await store.read.agent('1002')).toMatchObject({ states: [{ since: iso(10) }] })
  expect(await store.read.campaign('c1')).toMatchObject({ history: [{ status: 'stopped' }, { status: 'started' }] })
  expect((await store.read.wall({ reasons: ['hungup'], of: 'answered', threshold: 0.03 })).totals.unsure).toBe(0)
})

test('a state received at the time of the resync or later wins, in any order of commits', async () => {
  for (const at of [10, 11])
    for (const order of ['heard first', 'resync first']) {
      const { commit, states } = await useStates()
      const heard = [agent('busy', at), campaign('stopping', at)]
      const read = [agent('available', 10, RESYNC), campaign('started', 10, RESYNC)]
      for (const effects of order === 'heard first' ? [heard, read] : [read, heard]) await commit(...effects)
      await commit(gap(10))
      expect([at, order, await states()]).toEqual([at, order, [[['busy', false]], 'stopping', false]])
    }
})

test('a resync ends the call of an agent who is available, and leaves the call of a busy agent unsure', async () => {
  for (const [word, expected] of [
    ['available', null],
    ['busy', { call_ref: '7' }],
  ] as const) {
    const { store, commit } = await useStates()
    const call = agentCall(toEvent('agents', 'call', '1002', { call_ref: '7' }, 2))
    await commit(agent('available', 1), call, agent('busy', 2.1), gap(10), agent(word, 10, RESYNC))
    expect(await store.read.agent('1002')).toMatchObject({
      states: [{ status: word, unsure: false }],
      call: expected,
      call_unsure: expected !== null,
    })
  }
})

test('a resync adds no completed or stopped campaign and no offline agent', async () => {
  const { store, commit } = await useStates()
  await commit(
    agent('offline', 10, RESYNC, '1003'),
    campaign('completed', 10, RESYNC, 'old'),
    campaign('stopped', 10, RESYNC, 'older'),
    agent('available', 10, RESYNC, '1004'),
    campaign('started', 10, RESYNC, 'new'),
  )
  expect((await store.read.agents()).items.map(({ ref }) => ref)).toEqual(['1004'])
  expect((await store.read.campaigns()).items.map(({ ref }) => ref)).toEqual(['new'])
})
