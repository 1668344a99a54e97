import { expect, test } from 'vitest'
import type { RelayGap } from '../../src/protocol/index.ts'
import {
  agentCall,
  agentStatus,
  campaignStatus,
  dialerStatus,
  relayGap,
  type StoreEvent,
} from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const iso = (at: number) => new Date(BASE_MS + at * 1000).toISOString()

/** A gap that was over at second `at`. */
function gap(at: number, own: Partial<RelayGap> = {}) {
  const payload: RelayGap = {
    source: 'main',
    relay: 'r1',
    from: iso(at - 3),
    to: iso(at),
    cause: 'reconnect',
    patterns: ['enigma:notifications*'],
    ...own,
  }
  return relayGap(
    toEvent('relay', 'gap', payload.source, payload, at, {
      transport: 'relay',
      source: payload.source,
      id: `${payload.source}/o/${at}/0`,
    }),
  )
}
const status = (ref: string, at: number, own: Partial<StoreEvent> = {}, word = 'available') =>
  agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: '7' }, at, own))
const call = (ref: string, at: number, own: Partial<StoreEvent> = {}) =>
  agentCall(toEvent('agents', 'call', ref, { call_ref: `c${at}`, campaign_ref: '7' }, at, own))

test('G1: a gap marks earlier states and calls of its source, and of no other, as unsure until they are received again', async () => {
  const { store } = await useStore()
  const unsure = async () =>
    Object.fromEntries(
      (await store.read.agents()).items.map((agent) => [agent.ref, [agent.states[0]?.unsure, agent.call_unsure]]),
    )
  await store.commit({
    effects: [status('1', 1), call('1', 2), status('2', 3), status('3', 4, { source: 'north' }), call('4', 5)],
    done: DONE,
  })
  expect(await unsure()).toEqual({ 1: [false, false], 2: [false, false], 3: [false, false], 4: [undefined, false] })
  await store.commit({ effects: [gap(10)], done: DONE })
  expect(await unsure()).toEqual({ 1: [true, true], 2: [true, false], 3: [false, false], 4: [undefined, true] })
  // A new status makes the state sure. The call may have been another one, so it stays unsure until its agent has a new call.
  await store.commit({ effects: [status('1', 11, {}, 'busy'), status('2', 9)], done: DONE })
  expect(await unsure()).toMatchObject({ 1: [false, true], 2: [true, false] })
  await store.commit({ effects: [call('1', 12)], done: DONE })
  expect(await store.read.agent('1')).toMatchObject({
    states: [{ unsure: false }],
    call: { call_ref: 'c12' },
    call_unsure: false,
  })
  // A gap that is committed late changes nothing.
  for (const late of [gap(8), gap(10), gap(8)]) {
    await store.commit({ effects: [late], done: DONE })
    expect(await unsure()).toMatchObject({ 1: [false, false], 2: [true, false] })
  }
})

test('a gap marks campaigns and diallers as unsure; a gap of a single route marks only the data of that route', async () => {
  const { store } = await useStore()
  const started = (ref: string, at: number) =>
    campaignStatus(toEvent('campaigns', 'status', ref, { status: 'started' }, at))
  await store.commit({
    effects: [
      started('7', 1),
      started('8', 2),
      dialerStatus(toEvent('dialers', 'status', 'd', { status: 'started' }, 3)),
      status('1', 4),
      call('1', 5),
    ],
    done: DONE,
  })
  const seen = async () => ({
    campaigns: (await store.read.campaigns()).items.map((campaign) => campaign.unsure),
    campaign: (await store.read.campaign('7'))?.unsure,
    dialers: (await store.read.dialers()).map((dialer) => dialer.unsure),
    agent: (await store.read.agent('1'))?.states.map((state) => state.unsure),
    call: (await store.read.agent('1'))?.call_unsure,
  })
  await store.commit({ effects: [gap(10, { cause: 'journal_full', route: 'campaigns-stats', lost: 3 })], done: DONE })
  expect(await seen()).toEqual({
    campaigns: [false, false],
    campaign: false,
    dialers: [false],
    agent: [false],
    call: false,
  })
  await store.commit({ effects: [gap(11, { cause: 'journal_full', route: 'agents-status', lost: 3 })], done: DONE })
  expect(await seen()).toEqual({
    campaigns: [false, false],
    campaign: false,
    dialers: [false],
    agent: [true],
    call: true,
  })
  await store.commit({ effects: [gap(12), started('8', 13)], done: DONE })
  expect(await seen()).toEqual({ campaigns: [true, false], campaign: true, dialers: [true], agent: [true], call: true })
})

test('after a gap, a state received from a list stays sure and a call received from a list is unsure', async () => {
  const { store } = await useStore()
  const list = { transport: 'list' } as const
  await store.commit({ effects: [status('1', 1, list), call('1', 2, list), gap(10)], done: DONE })
  expect(await store.read.agent('1')).toMatchObject({ states: [{ unsure: false }], call_unsure: true }) // An older gap that is told late makes nothing sure.
  await store.commit({ effects: [gap(1)], done: DONE })
  expect(await store.read.agent('1')).toMatchObject({ states: [{ unsure: false }], call_unsure: true })
})

test('gaps are listed once each, newest first, by pages, source and time', async () => {
  const { store } = await useStore()
  const all = Array.from({ length: 23 }, (_, at) =>
    gap(at, at % 2 === 0 ? {} : { source: 'north', cause: 'journal_full', route: 'agents-stats', lost: 4 }),
  )
  await store.commit({ effects: [...all.toReversed(), ...all], done: DONE })
  const find = async (filter: Parameters<typeof store.read.gaps>[0]) => {
    const found: number[] = []
    for (let cursor: string | undefined; ;) {
      const page = await store.read.gaps({ ...filter, limit: 5, cursor })
      found.push(...page.items.map((item) => Number(item.notification_id.split('/')[2])))
      if (page.next === null) return found
      cursor = page.next
    }
  }
  const newest = Array.from({ length: 23 }, (_, index) => 22 - index)
  expect(await find({})).toEqual(newest)
  expect(await find({ source: 'north' })).toEqual(newest.filter((at) => at % 2 === 1))
  expect(await find({ sinceMs: BASE_MS + 20_000 })).toEqual([22, 21, 20])
})

test('each source keeps its last 1,000 gaps for thirty days, independent of other sources', async () => {
  const { store, redis } = await useStore()
  const month = 30 * 24 * 3600
  const north = [gap(-month + 7200, { source: 'north' }), gap(-month - 3600, { source: 'north' })]
  await store.commit({ effects: [...north, ...Array.from({ length: 1_005 }, (_, at) => gap(at))], done: DONE })
  expect((await store.read.gaps({ source: 'north' })).items.map((item) => item.notification_id)).toEqual([
    `north/o/${-month + 7200}/0`,
  ])
  const client = await useRedisClient(redis.url)
  expect([
    await client.zCard('enigma:gaps'),
    await client.zCard('enigma:gaps_of:main'),
    (await client.keys('enigma:gap:*')).length,
  ]).toEqual([1_001, 1_000, 1_001])
  for (const key of await client.keys('*')) expect([key, (await client.ttl(key)) > 0]).toEqual([key, true])
})
