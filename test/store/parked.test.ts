import { expect, test } from 'vitest'
import type { RelayParked } from '../../src/protocol/index.ts'
import { relayParked } from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const iso = (at: number) => new Date(BASE_MS + at * 1000).toISOString()

/** What the relay says at second `at` of the notification `main/l/1/<number>`, which it put aside at second `number`. */
function say(state: RelayParked['state'], number: number, at: number, own: Partial<RelayParked> = {}) {
  const payload: RelayParked = {
    source: 'main',
    id: `main/l/1/${number}`,
    state,
    route: 'campaigns-cdr',
    reason: 'too_large',
    detail: 'of 1200000 bytes',
    received: iso(number - 1),
    parkedat: iso(number),
    bytes: 1_200_000,
    type: 'enigma.campaigns.cdr',
    ...own,
  }
  return relayParked(toEvent('relay', 'parked', payload.id, payload, at, { transport: 'relay' }))
}

test('G5: what the relay put aside is there until it was sent again or dropped, in whatever order and however often it is said', async () => {
  const { store } = await useStore()
  await store.commit({
    effects: [say('parked', 1, 1), say('parked', 1, 1), say('parked', 2, 2), say('parked', 3, 3)],
    done: DONE,
  })
  await store.commit({ effects: [say('retried', 2, 12), say('parked', 2, 2), say('dropped', 3, 13)], done: DONE })
  // Comes before what it takes back.
  await store.commit({ effects: [say('retried', 4, 14), say('parked', 4, 4)], done: DONE })
  const { items, next, totals } = await store.read.parked()
  expect(items.map((item) => item.id)).toEqual(['main/l/1/1'])
  expect([next, totals]).toEqual([null, { relay: 1, functions: 0 }])
  // SQS has refused it once more.
  await store.commit({ effects: [say('parked', 2, 20, { parkedat: iso(20) })], done: DONE })
  expect((await store.read.parked()).items.map((item) => [item.id, item.parked_at])).toEqual([
    ['main/l/1/2', iso(20)],
    ['main/l/1/1', iso(1)],
  ])
})

test('the size that was too large is shown as it is; other words that came with a notification are masked', async () => {
  const { store } = await useStore()
  const detail = 'more than the 1048576 bytes of enigma-campaigns-cdr.fifo, also when gzipped'
  await store.commit({
    effects: [say('parked', 1, 1, { detail }), say('parked', 2, 2, { detail: `${detail}: 27825550001` })],
    done: DONE,
  })
  expect((await store.read.parked()).items.map((item) => item.detail)).toEqual([
    expect.not.stringContaining('27825550001'),
    detail,
  ])
})

test('filters and pages find each that fits once, newest first', async () => {
  const { store } = await useStore()
  const own = (number: number) => ({
    ...(number % 2 === 0 ? { source: 'north', route: 'agents-call' } : {}),
    reason: number % 5 === 0 ? 'refused' : 'too_large',
  })
  await store.commit({
    effects: Array.from({ length: 60 }, (_, number) => say('parked', number, number, own(number))),
    done: DONE,
  })
  const find = async (filter: Parameters<typeof store.read.parked>[0]) => {
    const found: number[] = []
    for (let cursor: string | undefined; ;) {
      const page = await store.read.parked({ ...filter, limit: 7, cursor })
      expect(page.totals.relay).toBe(60)
      found.push(...page.items.map((item) => Number(item.id.split('/')[3])))
      if (page.next === null) return found
      cursor = page.next
    }
  }
  const newest = Array.from({ length: 60 }, (_, index) => 59 - index)
  expect(await find({})).toEqual(newest)
  expect(await find({ source: 'north' })).toEqual(newest.filter((number) => number % 2 === 0))
  expect(await find({ route: 'campaigns-cdr', reason: 'REFUSED' })).toEqual(
    newest.filter((number) => number % 2 === 1 && number % 5 === 0),
  )
  expect(await find({ sinceMs: BASE_MS + 50_000 })).toEqual(newest.filter((number) => number >= 50))
  await expect(store.read.parked({ cursor: 'nonsense' })).rejects.toMatchObject({ code: 'store.cursor.invalid' })
})

test('what is older than 30 days is not shown, and of the relay ten thousand at most are kept', async () => {
  const { store, redis } = await useStore()
  const days = (count: number) => ({ parkedat: new Date(BASE_MS - count * 24 * 3600_000).toISOString() })
  await store.commit({
    effects: [say('parked', 1, 1, days(29)), say('parked', 2, 2, days(31)), say('dropped', 9, 9)],
    done: DONE,
  })
  expect((await store.read.parked()).items.map((item) => item.id)).toEqual(['main/l/1/1'])
  await store.commit({
    effects: Array.from({ length: 10_020 }, (_, number) => say('parked', 100 + number, number)),
    done: DONE,
  })
  expect(await store.read.parked({ limit: 1 })).toMatchObject({
    totals: { relay: 10_000 },
    items: [{ id: 'main/l/1/10119' }],
  })
  const client = await useRedisClient(redis.url)
  // Besides those: the one that is too old, and the mark of what was dropped; both run out by themselves.
  expect((await client.keys('enigma:parked:*')).length).toBe(10_002)
  expect(await client.ttl('enigma:parked:main/l/1/9')).toBeLessThan(15 * 24 * 3600)
  expect(await client.ttl('enigma:parked:main/l/1/10119')).toBeGreaterThan(29 * 24 * 3600)
})
