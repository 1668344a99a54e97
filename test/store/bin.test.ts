import { expect, test } from 'vitest'
import {
  claimEntries,
  deleteEntries,
  noteSent,
  restoreEntries,
  startReplay,
  stopReplay,
  type Effect,
} from '../../src/store/index.ts'
import { notification } from '../adapter/factories.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS } from './events.ts'

const DONE = new Map<string, string[]>()
const asked = { operator: 'jane', created_at: new Date(BASE_MS).toISOString(), rate: 5, filter: null }
const failing = (n: number, own: object = {}) => ({
  route: 'agents-status',
  key: `k${n}`,
  notification: notification('A', n),
  reason: '422',
  attempts: 1,
  messageId: `m${n}`,
  messageGroupId: '17',
  eventSourceARN: 'arn:x:enigma-agents-status.fifo',
  ...own,
})

const COMMANDS = ['set', 'mset', 'zadd', 'zrem', 'zremrangebyrank', 'rpush', 'ltrim', 'del', 'xadd', 'expire']

test.each(COMMANDS)('G5: a deletion that fails at %s and is never repeated loses no entry', async (command) => {
  const { store, redis } = await useStore()
  const client = await useRedisClient(redis.url)
  await store.commit({ effects: [], done: DONE, parked: [1, 2, 3].map((n) => failing(n)) })
  const { ids } = await store.read.findParked({}, '')
  await client.sendCommand(['ACL', 'SETUSER', 'default', `-${command}`])
  await store.commit({ effects: [deleteEntries(ids, 'jane', Date.now())], done: DONE }).catch(() => undefined)
  await client.sendCommand(['ACL', 'SETUSER', 'default', `+${command}`])
  const parked = (await store.read.parked()).items.map(({ id }) => id)
  const bin = (await store.read.bin()).items.map(({ id }) => id)
  expect([...parked, ...bin].toSorted()).toEqual(ids.toSorted())
  for (const id of parked)
    for (const key of await client.keys(`*parked_part:${id}:*`))
      expect(await client.ttl(key)).toBeGreaterThan(20 * 86_400)
})

test.each(COMMANDS)('G5: a restoration that fails at %s and is never repeated loses no entry', async (command) => {
  const { store, redis } = await useStore()
  const client = await useRedisClient(redis.url)
  await store.commit({ effects: [], done: DONE, parked: [1, 2, 3].map((n) => failing(n)) })
  const { ids } = await store.read.findParked({}, '')
  await store.commit({ effects: [deleteEntries(ids, 'jane', Date.now())], done: DONE })
  await client.sendCommand(['ACL', 'SETUSER', 'default', `-${command}`])
  await store.commit({ effects: [restoreEntries(ids)], done: DONE }).catch(() => undefined)
  await client.sendCommand(['ACL', 'SETUSER', 'default', `+${command}`])
  const parked = (await store.read.parked()).items.map(({ id }) => id)
  const bin = (await store.read.bin()).items.map(({ id }) => id)
  expect([...parked, ...bin].toSorted()).toEqual(ids.toSorted())
})

test.each(COMMANDS)(
  'deleted and restored entries keep their order and counts if the first attempt of each commit fails at %s',
  async (command) => {
    const { store, redis } = await useStore()
    const client = await useRedisClient(redis.url)
    const commit = async (...effects: Effect[]) => {
      await client.sendCommand(['ACL', 'SETUSER', 'default', `-${command}`])
      await store.commit({ effects, done: DONE }).catch(() => undefined)
      await client.sendCommand(['ACL', 'SETUSER', 'default', `+${command}`])
      await store.commit({ effects, done: DONE })
    }
    await store.commit({ effects: [], done: DONE, parked: Array.from({ length: 20 }, (_, n) => failing(n)) })
    const { ids } = await store.read.findParked({}, '')
    await commit(deleteEntries(ids, 'jane', Date.now()))
    expect((await store.read.parked()).functions.total).toBe(0)
    expect((await store.read.bin()).items).toHaveLength(20)
    expect(await client.zCard('enigma:bin')).toBe(20)
    await commit(restoreEntries(ids))
    expect((await store.read.findParked({}, '')).ids).toEqual(ids)
    expect((await store.read.bin()).items).toEqual([])
    expect(await client.zCard('enigma:bin')).toBe(0)
    expect((await store.read.parkedEntry(ids[0] ?? ''))?.lane.ids).toEqual(ids)
    expect((await store.read.parkedMessages(ids)).map(({ id }) => id)).toEqual(ids)
    for (const key of await client.keys('*')) expect([key, (await client.ttl(key)) > 0]).toEqual([key, true])
  },
)

test('an entry is in one list and counts once in a replay, even if it is deleted or restored meanwhile', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [], done: DONE, parked: [failing(1)] })
  const {
    ids: [id = ''],
  } = await store.read.findParked({}, '')
  const run = (...effects: Effect[]) => store.commit({ effects, done: DONE })
  // Selected, deleted, restored, claimed.
  await run(
    startReplay('a', asked, [id]),
    deleteEntries([id], 'x', Date.now()),
    restoreEntries([id]),
    claimEntries('a', 1),
  )
  expect((await store.read.replayProgress('a'))?.sending).toEqual([id])
  expect((await store.read.findParked({}, '')).ids).toEqual([id])
  expect((await store.read.bin()).items).toEqual([])
  // Sent, stopped, deleted, then its function fails.
  await run(noteSent('a', '1'), stopReplay('a'), deleteEntries([id], 'x', Date.now()))
  expect((await store.read.bin()).items).toHaveLength(1)
  await store.commit({
    effects: [],
    done: DONE,
    parked: [failing(1, { messageId: 'n', replay: { job: 'a', entry: id } })],
    replayed: [{ job: 'a', entry: id, hasFailed: true, messageId: 'n' }],
  })
  expect((await store.read.findParked({}, '')).ids).toEqual([id])
  expect((await store.read.bin()).items).toEqual([])
  expect(await store.read.parkedMessages([id])).toHaveLength(1)
  expect((await store.read.replay('a'))?.counts).toMatchObject({ sent: 0, failed_again: 1 })
  // Sent, stopped, deleted, then handled.
  await run(
    startReplay('b', asked, [id]),
    claimEntries('b', 1),
    noteSent('b', '1'),
    stopReplay('b'),
    deleteEntries([id], 'x', Date.now()),
  )
  await store.commit({ effects: [], done: DONE, replayed: [{ job: 'b', entry: id, hasFailed: false, messageId: 'o' }] })
  expect([(await store.read.parked()).functions.total, (await store.read.bin()).items]).toEqual([0, []])
  await run(restoreEntries([id]))
  expect((await store.read.parked()).items).toEqual([])
})

test('a finished replay stays done when it is stopped', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [], done: DONE, parked: [failing(1)] })
  const { ids } = await store.read.findParked({}, '')
  await store.commit({ effects: [startReplay('j', asked, ids), claimEntries('j', 5), noteSent('j', '1')], done: DONE })
  await store.commit({
    effects: [],
    done: DONE,
    replayed: [{ job: 'j', entry: ids[0] ?? '', hasFailed: false, messageId: 'x' }],
  })
  expect((await store.read.replay('j'))?.state).toBe('done')
  await store.commit({ effects: [stopReplay('j')], done: DONE })
  expect((await store.read.replay('j'))?.state).toBe('done')
})

test('the lane of an entry lists only entries that are still parked', async () => {
  let nowMs = Date.now()
  const { store } = await useStore({ now: () => nowMs })
  await store.commit({ effects: [], done: DONE, parked: [failing(1)] })
  nowMs += 29 * 86_400_000
  await store.commit({ effects: [], done: DONE, parked: [failing(2)] })
  nowMs += 2 * 86_400_000
  const [entry] = (await store.read.parked()).items
  expect((await store.read.parkedEntry(entry?.id ?? ''))?.lane).toEqual({ ids: [entry?.id], total: 1 })
})

test('a plan counts an id once even if it is given twice', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [], done: DONE, parked: [failing(1)] })
  const { ids } = await store.read.findParked({}, '')
  expect(await store.read.replayPlan({ ids: [...ids, ...ids] })).toMatchObject({ total: 1, skipped: 0 })
})
