import { expect, test } from 'vitest'
import { latest, relayGap, type StoreEvent } from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const pause = (at: number, payload: unknown = { minutes: at }, more: Partial<StoreEvent> = {}) =>
  latest(toEvent('agents', 'break', '1002', payload, at, more))

test('a kind keeps its latest value and at most 19 earlier ones, fewer if they are large', async () => {
  const { store, redis } = await useStore()
  await store.commit({ effects: Array.from({ length: 50 }, (_, at) => pause(at)), done: DONE })
  expect((await store.read.kind('agents', 'break', '1002'))?.history).toHaveLength(19)
  const text = (letter: string) => letter.repeat(100_000)
  await store.commit({ effects: Array.from('abcd').map((letter, at) => pause(100 + at, text(letter))), done: DONE })
  const kind = await store.read.kind('agents', 'break', '1002')
  expect([kind?.latest, ...(kind?.history ?? [])].map((value) => value?.payload)).toEqual([text('d'), text('c')])
  await store.commit({ effects: [pause(200, text('e').repeat(5))], done: DONE })
  expect(await store.read.kind('agents', 'break', '1002')).toMatchObject({ history: [] })
  expect(() => pause(201, text('f').repeat(6))).toThrow(expect.objectContaining({ code: 'store.effect.too_large' }))
  const [key = ''] = await (await useRedisClient(redis.url)).keys('*kind:*')
  expect(await (await useRedisClient(redis.url)).ttl(key)).toBeGreaterThan(6 * 24 * 3600)
})

test('a value that was received or committed too late is stale', async () => {
  const { store } = await useStore()
  await store.commit({
    effects: [
      pause(1, {}, { stale: true }),
      pause(2, {}, { staleAtMs: Date.now() - 1 }),
      pause(3, {}, { staleAtMs: Date.now() + 60_000 }),
    ],
    done: DONE,
  })
  const kind = await store.read.kind('agents', 'break', '1002')
  expect([kind?.latest, ...(kind?.history ?? [])].map((value) => value?.stale)).toEqual([false, true, true])
})

test('a gap marks the value of a kind as unsure', async () => {
  const { store } = await useStore()
  const gap = {
    source: 'main',
    relay: 'r',
    from: '',
    to: new Date(BASE_MS + 9_000).toISOString(),
    cause: 'restart',
    patterns: [],
  }
  await store.commit({
    effects: [pause(1), relayGap(toEvent('relay', 'gap', 'main', gap, 10, { transport: 'relay' }))],
    done: DONE,
  })
  expect(await store.read.kind('agents', 'break', '1002')).toMatchObject({ unsure: true })
})
