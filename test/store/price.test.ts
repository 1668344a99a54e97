import { expect, test } from 'vitest'
import { countCommands } from '../../bench/read-model.ts'
import { toCdr } from '../../bench/load.ts'
import { formatId, formatSequence, parseExact, type Cdr } from '../../src/protocol/index.ts'
import { agentCall, agentStatus, cdr, relayAlive, type Effect } from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

/** A store with a counter of the commands that an operation costs. */
async function usePricedStore() {
  const { store, redis } = await useStore()
  const client = await useRedisClient(redis.url)
  const commit = (effects: readonly Effect[]) => store.commit({ effects, done: new Map() })
  const count = async (work: () => Promise<unknown>) => {
    const before = countCommands(await client.info('commandstats'))
    await work()
    return countCommands(await client.info('commandstats')) - before
  }
  return { store, client, commit, count }
}

/** Returns every key of the database with its value, serialized. */
async function contentsOf(client: Awaited<ReturnType<typeof useRedisClient>>): Promise<Record<string, unknown>> {
  const keys = (await client.keys('*')).toSorted()
  return Object.fromEntries(await Promise.all(keys.map(async (key) => [key, await client.dump(key)] as const)))
}

let at = 0
const status = (ref: string): Effect =>
  agentStatus(toEvent('agents', 'status', ref, { status: at % 2 === 0 ? 'busy' : 'wrapup', campaign_ref: 'c1' }, ++at))
const call = (ref: string): Effect =>
  agentCall(toEvent('agents', 'call', ref, { call_ref: `call-${++at}`, number: '27821234567' }, at))
function record(ref: string): Effect {
  const { payload } = parseExact(toCdr(++at)) as { readonly payload: Cdr }
  const own = { ...payload, call_ref: `cdr-${at}`, extension: ref, ref: 'c1', dialed_at: BASE_MS / 1_000 }
  return cdr(
    toEvent('campaigns', 'cdr', undefined, own, at, {
      transport: 'list',
      id: formatId('main', 'list', BASE_MS, at),
      sequence: formatSequence(BASE_MS, at),
    }),
  )
}

test.each([
  ['a status', status, 4, 2],
  ['a call', call, 6, 4],
  ['a CDR', record, 8, 4],
] as const)(
  '%s stays within its limit of commands, alone and in a commit of 50',
  async (_name, make, alone, inPacks) => {
    const { commit, count } = await usePricedStore()
    const refs = Array.from({ length: 50 }, (_, index) => String(1_000 + index))
    // The first commit does the hourly work.
    await commit(refs.map(make))
    expect(await count(() => commit([make('1000')]))).toBeLessThanOrEqual(alone)
    expect((await count(() => commit(refs.map(make)))) / refs.length).toBeLessThanOrEqual(inPacks)
  },
)

test('a call that awaits its CDR, and that CDR, stay within the same limits', async () => {
  const { store, commit, count } = await usePricedStore()
  const relay = { relay: 'r1', sources: ['main'], lists: ['enigma:notifications:campaigns'], started: '' }
  const own = { timeMs: Date.now(), transport: 'relay' } as const
  await commit([relayAlive(toEvent('relay', 'alive', 'r1', relay, 0, own))])
  const refs = Array.from({ length: 50 }, (_, index) => String(1_000 + index))
  const pairOf = (ref: string) => {
    const made = record(ref)
    const payload = { call_ref: made.steps[0]?.values['call_ref'] }
    return [agentCall(toEvent('agents', 'call', ref, payload, at / 1_000)), made] as const
  }
  // The first commits do the hourly work.
  for (const [handed, ended] of refs.map(pairOf)) {
    await commit([handed])
    await commit([ended])
  }
  const pairs = refs.map(pairOf)
  expect(await count(() => commit([pairs[0]?.[0] as Effect]))).toBeLessThanOrEqual(6)
  expect(await count(() => commit([pairs[0]?.[1] as Effect]))).toBeLessThanOrEqual(8)
  const rest = pairs.slice(1)
  expect((await count(() => commit(rest.map(([handed]) => handed)))) / rest.length).toBeLessThanOrEqual(4)
  expect(await store.read.awaitedCalls(-1e9)).toHaveLength(rest.length)
  expect((await count(() => commit(rest.map(([, ended]) => ended)))) / rest.length).toBeLessThanOrEqual(4)
  expect(await store.read.awaitedCalls(-1e9)).toEqual([])
})

test('a copy of a status, a call or a CDR changes nothing and costs at most three commands', async () => {
  const { client, commit, count } = await usePricedStore()
  for (const make of [status, call, record]) {
    const effect = make('1000')
    await commit([effect])
    const before = await contentsOf(client)
    expect(await count(() => commit([effect]))).toBeLessThanOrEqual(3)
    expect(await contentsOf(client)).toEqual(before)
  }
})

test('a page of agents costs two commands, and a CDR with its index entries takes less than 800 bytes', async () => {
  const { store, client, commit, count } = await usePricedStore()
  for (let from = 0; from < 2_000; from += 500)
    await commit(Array.from({ length: 500 }, (_, index) => status(String(1_000 + from + index))))
  expect(await count(() => store.read.agents({ limit: 500 }))).toBe(2)
  await client.flushDb()
  const CDRS = 2_000
  for (let from = 0; from < CDRS; from += 50)
    await commit(Array.from({ length: 50 }, (_, index) => record(String(1_000 + index))))
  let bytes = 0
  for (const key of await client.keys('enigma:*'))
    if (/^enigma:(?:cdrs?:|figures:|quarters$)/.test(key)) bytes += (await client.memoryUsage(key, { SAMPLES: 0 })) ?? 0
  expect(bytes / CDRS).toBeLessThan(800)
})
