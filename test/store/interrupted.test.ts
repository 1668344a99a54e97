import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import {
  agentStatus,
  cdr,
  claimEntries,
  createStore,
  noteSent,
  selectEntries,
  startReplay,
  type Effect,
} from '../../src/store/index.ts'
import { notification } from '../adapter/factories.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, nextId, toEvent } from './events.ts'

const record = cdr(
  toEvent(
    'campaigns',
    'cdr',
    undefined,
    {
      call_ref: '1',
      dialed_at: BASE_MS / 1_000,
      number: '27821234567',
      extension: '1002',
      end_reason: 'hungup',
      ref: 'c1',
    },
    1,
    { transport: 'list', id: nextId() },
  ),
)
const status = agentStatus(toEvent('agents', 'status', '1002', { status: 'busy', campaign_ref: 'c1' }, 2))

async function useInterrupted() {
  // The clock stays on the day of the effects, even if the test runs within an hour after midnight.
  const { store, redis } = await useStore({ now: () => BASE_MS + 60_000 })
  const client = await useRedisClient(redis.url)
  const commit = (...effects: Effect[]) => store.commit({ effects, done: new Map() })
  return { store, client, commit }
}

test.each(['hset', 'set', 'zadd', 'xadd', 'expire'])(
  'G4: a commit that fails because the database rejects %s is complete after the next attempt, and counted once',
  async (command) => {
    const { store, client, commit } = await useInterrupted()
    await client.sendCommand(['ACL', 'SETUSER', 'default', `-${command}`])
    await expect(commit(record, status)).rejects.toThrow(/./)
    await client.sendCommand(['ACL', 'SETUSER', 'default', `+${command}`])
    await commit(record, status)
    for (const filter of [{}, { campaign: 'c1' }, { agent: '1002' }, { number: '27821234567' }])
      expect((await store.read.cdrs(filter)).items.map(({ call_ref, revised }) => [call_ref, revised])).toEqual([
        ['1', false],
      ])
    expect((await store.read.campaign('c1'))?.today).toMatchObject({ cdrs: 1 })
    expect((await store.read.agents()).items).toMatchObject([{ ref: '1002', states: [{ status: 'busy' }] }])
    expect((await store.read.campaigns()).items.map(({ ref }) => ref)).toEqual(['c1'])
    for (const key of await client.keys('*')) expect([key, (await client.ttl(key)) > 0]).toEqual([key, true])
  },
)

// EXPIRE takes no memory, so a full database does not reject it.
test.each(['set', 'mset', 'zadd', 'zrem', 'rpush', 'del', 'xadd'])(
  'G4: steps of a replay that fail at %s are complete after the next attempt, and counted once',
  async (command) => {
    const { store, client } = await useInterrupted()
    const commit = async (batch: Partial<Parameters<typeof store.commit>[0]>) => {
      await client.sendCommand(['ACL', 'SETUSER', 'default', `-${command}`])
      // Not every step needs the command.
      await store.commit({ effects: [], done: new Map(), ...batch }).catch(() => undefined)
      await client.sendCommand(['ACL', 'SETUSER', 'default', `+${command}`])
      await store.commit({ effects: [], done: new Map(), ...batch })
    }
    const parked = [1, 2, 3].map((n) => ({
      route: 'agents-status',
      key: `k${n}`,
      notification: notification('A', n),
      reason: '422',
      attempts: 1,
      messageId: `m${n}`,
      eventSourceARN: 'arn:x:enigma-agents-status.fifo',
    }))
    await commit({ parked })
    const { ids } = await store.read.findParked({}, '')
    expect((await Promise.all(ids.map((id) => store.read.parkedEntry(id)))).map((one) => one?.message_id)).toEqual([
      'm1',
      'm2',
      'm3',
    ])
    const [first = '', second = '', third = ''] = ids
    const asked = { operator: 'jane', created_at: new Date(BASE_MS).toISOString(), rate: 5, filter: {} }
    await commit({ effects: [startReplay('j', asked), selectEntries('j', '', null, ids)] })
    await commit({ effects: [claimEntries('j', 3)] })
    expect((await store.read.replayProgress('j'))?.sending).toEqual(ids)
    expect((await store.read.parked()).items.map(({ replay }) => replay)).toEqual(['j', 'j', 'j'])
    await commit({ effects: [noteSent('j', '1')] })
    await commit({
      parked: [{ ...parked[1], reason: '409', messageId: 'n2' } as (typeof parked)[number]],
      replayed: [
        { job: 'j', entry: first, hasFailed: false, messageId: 'x' },
        { job: 'j', entry: second, hasFailed: true, messageId: 'x' },
        { job: 'j', entry: third, hasFailed: false, messageId: 'x' },
      ],
    })
    expect(await store.read.replay('j')).toMatchObject({
      state: 'done',
      counts: { waiting: 0, sent: 0, handled: 2, failed_again: 1, skipped: 0 },
    })
    expect((await store.read.parked()).items).toMatchObject([{ id: second, reason: '409', replay: null }])
    for (const key of await client.keys('*')) expect([key, (await client.ttl(key)) > 0]).toEqual([key, true])
  },
)

test.each(['set', 'mset', 'zadd', 'zrem', 'rpush', 'ltrim', 'del', 'xadd'])(
  'G4: a replay of CDRs is complete and counted once if the first attempt of each commit fails at %s',
  async (command) => {
    const { store, client } = await useInterrupted()
    const tried = (n: number) =>
      cdr(
        toEvent('campaigns', 'cdr', undefined, { call_ref: `c${n}`, dialed_at: BASE_MS / 1_000 + n, ref: 'c1' }, n, {
          transport: 'list',
          id: nextId(),
        }),
      )
    const commit = async (batch: Partial<Parameters<typeof store.commit>[0]>) => {
      await client.sendCommand(['ACL', 'SETUSER', 'default', `-${command}`])
      await store.commit({ effects: [], done: new Map(), ...batch }).catch(() => undefined)
      await client.sendCommand(['ACL', 'SETUSER', 'default', `+${command}`])
      await store.commit({ effects: [], done: new Map(), ...batch })
    }
    await store.commit({ effects: [1, 2, 3].map(tried), done: new Map() })
    const { ids } = await store.read.findCdrs({}, '')
    expect(ids).toHaveLength(3)
    const asked = { operator: 'jane', created_at: new Date(BASE_MS).toISOString(), rate: 5, filter: null }
    const failing = {
      route: 'campaigns-cdr',
      key: 'k',
      notification: notification('A', 9),
      reason: '422',
      attempts: 1,
      messageId: 'n',
      replay: { job: 'j', entry: ids[1] ?? '' },
      eventSourceARN: 'arn:x:enigma-campaigns-cdr.fifo',
    }
    await commit({
      effects: [startReplay('j', { ...asked, cdrs: { route: 'campaigns-cdr' } }), selectEntries('j', '', null, ids)],
    })
    await commit({ effects: [claimEntries('j', 10)] })
    expect((await store.read.replayProgress('j'))?.sending).toEqual(ids)
    await commit({ effects: [noteSent('j', '1')] })
    await commit({
      parked: [failing],
      replayed: ids.map((entry, at) => ({ job: 'j', entry, hasFailed: at === 1, messageId: 'x' })),
    })
    expect(await store.read.replay('j')).toMatchObject({
      state: 'done',
      counts: { waiting: 0, sent: 0, handled: 2, failed_again: 1, skipped: 0 },
    })
    expect((await store.read.parked()).items).toHaveLength(1)
    for (const key of await client.keys('*')) expect([key, (await client.ttl(key)) > 0]).toEqual([key, true])
  },
)

test('a commit fails after four requests if the database never returns the secret that was stored', async () => {
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    const reply =
      request.url === '/pipeline' ? [{ result: 'OK' }, { result: 'a secret' }] : { result: 'another secret' }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(reply))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const store = createStore({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: 't', tries: 1 })
  await expect(store.commit({ effects: [record], done: new Map() })).rejects.toMatchObject({
    code: 'store.upstash.unexpected_reply',
  })
  expect(requests).toBe(4)
})
