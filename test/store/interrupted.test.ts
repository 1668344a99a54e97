import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { agentStatus, cdr, createStore, type Effect } from '../../src/store/index.ts'
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
  const { store, redis } = await useStore()
  const client = await useRedisClient(redis.url)
  const commit = (...effects: Effect[]) => store.commit({ effects, done: new Map() })
  return { store, client, commit }
}

test.each(['hset', 'set', 'zadd', 'xadd', 'expire'])(
  'G4: a commit in the middle of which the database refuses %s is whole after its next attempt, and counted once',
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

test('a database that never has the secret it was given is an error, and no endless loop', async () => {
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
