import { expect, onTestFinished, test, vi } from 'vitest'
import { readBody, type RelayParked } from '../../src/protocol/index.ts'
import { claimEntries, deleteEntries, relayParked, restoreEntries, startReplay } from '../../src/store/index.ts'
import { notification } from '../adapter/factories.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const iso = (at: number) => new Date(BASE_MS + at * 1000).toISOString()

/** The notice at second `at` about the notification `main/l/1/<number>`, which the relay parked at second `number`. */
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

test('G5: an entry that the relay parked is listed until it is retried or dropped, for any order and number of notices', async () => {
  const { store } = await useStore()
  await store.commit({
    effects: [say('parked', 1, 1), say('parked', 1, 1), say('parked', 2, 2), say('parked', 3, 3)],
    done: DONE,
  })
  await store.commit({ effects: [say('retried', 2, 12), say('parked', 2, 2), say('dropped', 3, 13)], done: DONE })
  // The retry is committed before the parking.
  await store.commit({ effects: [say('retried', 4, 14), say('parked', 4, 4)], done: DONE })
  const { items, next, relay, functions } = await store.read.parked()
  expect(items.map((item) => item.id)).toEqual(['main/l/1/1'])
  expect([next, relay.total, functions.total]).toEqual([null, 1, 0])
  // SQS has refused it once more.
  await store.commit({ effects: [say('parked', 2, 20, { parkedat: iso(20) })], done: DONE })
  expect((await store.read.parked()).items.map((item) => [item.id, item.parked_at])).toEqual([
    ['main/l/1/2', iso(20)],
    ['main/l/1/1', iso(1)],
  ])
})

test('the detail of an oversized notification is shown unchanged; phone numbers in a detail are masked', async () => {
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

test('filters and pages return each matching entry once, newest first', async () => {
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
      expect(page.relay.total).toBe(60)
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

test('entries older than 30 days are not listed, and at most 10,000 entries of the relay are kept', async () => {
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
    relay: { total: 10_000 },
    items: [{ id: 'main/l/1/10119' }],
  })
  // Older than all that are kept.
  await store.commit({
    effects: Array.from({ length: 5 }, (_, number) => say('parked', 50 + number, 50 + number)),
    done: DONE,
  })
  const client = await useRedisClient(redis.url)
  // Plus the entry that is too old and the mark of the dropped entry; both expire.
  expect((await client.keys('enigma:parked:*')).length).toBe(10_002)
  expect(await client.ttl('enigma:parked:main/l/1/9')).toBeLessThan(15 * 24 * 3600)
  expect(await client.ttl('enigma:parked:main/l/1/10119')).toBeGreaterThan(29 * 24 * 3600)
})

const failing = (n: number, own: object = {}) => ({
  route: 'agents-status',
  key: `k${n}`,
  notification: notification('A', n),
  reason: '422',
  attempts: 1,
  messageId: 'm',
  eventSourceARN: 'arn:x:enigma-agents-status.fifo',
  ...own,
})

test('G3: 5,000 notifications parked in one commit are listed in order, even if the commit takes several requests', async () => {
  const { store } = await useStore({ maxRequestBytes: 200_000 })
  const count = 5_000
  await store.commit({ effects: [], done: DONE, parked: Array.from({ length: count }, (_, n) => failing(n)) })
  const found: string[] = []
  for (let place: string | null = ''; place !== null;) {
    const page: { ids: string[]; place: string | null } = await store.read.findParked({}, place)
    found.push(...page.ids)
    place = page.place
  }
  const entries = await Promise.all(
    [0, 404, 4_095, 4_096, count - 1].map((at) => store.read.parkedEntry(found[at] ?? '')),
  )
  expect(entries.map((entry) => entry?.notification_ids)).toEqual(
    [0, 404, 4_095, 4_096, count - 1].map((n) => [notification('A', n).id]),
  )
  expect(found).toHaveLength(count)
})

test('G7: neither an oversized attribute of a foreign event nor 9,000 failures at once block a commit', async () => {
  const { store } = await useStore()
  const endless = { subject: 'x'.repeat(700_000), source: '\u0001'.repeat(100_000), type: 'y'.repeat(600_000) }
  const keys = Array.from({ length: 9_000 }, (_, n) => `k${n}`)
  await store.commit({
    effects: [],
    done: DONE,
    failed: [{ messageId: 'm', attempt: 1, reason: '503', keys }],
    parked: [failing(1, { notification: { ...notification('A', 1), ...endless } }), failing(8_999)],
  })
  const { items } = await store.read.parked()
  expect(items.map(({ subject }) => subject?.length)).toEqual([1, 500])
  expect((await store.read.parkedEntry(items[0]?.id ?? ''))?.failed_attempts.map(({ reason }) => reason)).toEqual([
    '503',
    '422',
  ])
  const [message] = await store.read.parkedMessages([items[1]?.id ?? ''])
  expect(await readBody(message?.body ?? '', message?.contentEncoding)).toMatchObject([endless])
})

test('an entry keeps only its latest failed attempts, and a late copy of a handled notification is not parked again', async () => {
  const { store } = await useStore()
  const keys = Array.from({ length: 200 }, (_, n) => `a-key-of-some-length-${n}`)
  for (let attempt = 1; attempt <= 30; attempt++)
    await store.commit({ effects: [], done: DONE, failed: [{ messageId: 'm', attempt, reason: '503', keys }] })
  const one = failing(1, { key: keys[7], attempts: 31 })
  await store.commit({ effects: [], done: DONE, parked: [one] })
  const [entry] = (await store.read.parked()).items
  const attempts = (await store.read.parkedEntry(entry?.id ?? ''))?.failed_attempts.map(({ attempt }) => attempt) ?? []
  expect(attempts).toEqual(Array.from({ length: attempts.length }, (_, at) => 32 - attempts.length + at))
  const replay = { job: 'j', entry: entry?.id ?? '' }
  const asked = { operator: 'o', created_at: iso(0), rate: 1, filter: null }
  await store.commit({ effects: [startReplay('j', asked, [replay.entry]), claimEntries('j', 1)], done: DONE })
  await store.commit({ effects: [], done: DONE, replayed: [{ ...replay, hasFailed: false, messageId: 'x' }] })
  await store.commit({ effects: [], done: DONE, parked: [one] })
  expect((await store.read.parked()).items).toEqual([])
  // The same notification in another message is a new failure.
  await store.commit({ effects: [], done: DONE, parked: [{ ...one, messageId: 'n' }] })
  expect((await store.read.parked()).items).toHaveLength(1)
})

test('if a replayed message has become readable and fails, its notifications are parked instead of the message', async () => {
  const { store } = await useStore()
  const { key: _, notification: __, ...unreadable } = failing(1)
  await store.commit({ effects: [], done: DONE, parked: [{ ...unreadable, body: 'no event' }] })
  const [entry] = (await store.read.parked()).items
  const replay = { job: 'j', entry: entry?.id ?? '' }
  const asked = { operator: 'o', created_at: iso(0), rate: 1, filter: null }
  await store.commit({ effects: [startReplay('j', asked, [replay.entry]), claimEntries('j', 1)], done: DONE })
  await store.commit({
    effects: [],
    done: DONE,
    parked: [1, 2, 3].map((n) => failing(n, { replay, messageId: 'n' })),
    replayed: [{ ...replay, hasFailed: true, messageId: 'x' }],
  })
  expect((await store.read.parked()).items.map(({ notification_ids: [id] }) => id)).toEqual(
    [3, 2, 1].map((n) => notification('A', n).id),
  )
  expect((await store.read.replay('j'))?.counts).toMatchObject({ sent: 0, failed_again: 1 })
})

test('large parked notifications are compressed one at a time; small ones are not compressed', async () => {
  const { store } = await useStore()
  let [open, most, made] = [0, 0, 0]
  const Original = CompressionStream
  vi.stubGlobal('CompressionStream', function compress() {
    made++
    most = Math.max(most, ++open)
    const { readable, writable } = new Original('gzip')
    return { writable, readable: readable.pipeThrough(new TransformStream({ flush: () => void open-- })) }
  })
  onTestFinished(() => void vi.unstubAllGlobals())
  const large = { large: 'x'.repeat(10_000) }
  const parked = Array.from({ length: 40 }, (_, n) =>
    failing(n, n % 2 === 0 ? {} : { notification: notification('A', n, { payload: large }) }),
  )
  await store.commit({ effects: [], done: DONE, parked })
  expect([made, most]).toEqual([20, 1])
})

test('an entry in the bin that fails again is parked again; an entry that a replay has claimed is not deleted', async () => {
  const { store } = await useStore({ now: () => BASE_MS })
  const failingEntry = {
    route: 'agents-status',
    key: 'k1',
    notification: notification('1002', 1),
    reason: '422',
    attempts: 1,
    messageId: 'm1',
    messageGroupId: '17',
    eventSourceARN: 'arn:x:enigma-agents-status.fifo',
  }
  await store.commit({ effects: [], done: DONE, parked: [failingEntry] })
  const [first] = (await store.read.parked()).items
  const id = first?.id ?? ''
  await store.commit({ effects: [deleteEntries([id], 'jane', BASE_MS)], done: DONE })
  expect(await store.read.placesOf([id])).toEqual(['bin'])
  await store.commit({ effects: [], done: DONE, parked: [{ ...failingEntry, messageId: 'm2', reason: '409' }] })
  expect([await store.read.placesOf([id]), (await store.read.bin()).items]).toEqual([['parked'], []])
  const asked = { operator: 'o', created_at: iso(0), rate: 1, filter: null }
  await store.commit({ effects: [startReplay('r1', asked, [id]), claimEntries('r1', 1)], done: DONE })
  await store.commit({ effects: [deleteEntries([id], 'jane', BASE_MS)], done: DONE })
  expect(await store.read.placesOf([id])).toEqual(['parked'])
})

test('a restored entry that would have expired in the bin is kept for another day', async () => {
  let nowMs = BASE_MS
  const { store } = await useStore({ now: () => nowMs })
  const one = notification('1002', 1)
  const about = {
    route: 'agents-status',
    reason: '422',
    attempts: 1,
    eventSourceARN: 'arn:x:enigma-agents-status.fifo',
  }
  await store.commit({ effects: [], done: DONE, parked: [{ ...about, key: 'k1', notification: one, messageId: 'm1' }] })
  const [first] = (await store.read.parked()).items
  const id = first?.id ?? ''
  const day = 24 * 3_600_000
  nowMs += 29 * day
  await store.commit({ effects: [deleteEntries([id], 'jane', nowMs)], done: DONE })
  nowMs += 6 * day
  expect((await store.read.bin()).items).toHaveLength(1)
  await store.commit({ effects: [restoreEntries([id])], done: DONE })
  nowMs += day - 60_000
  expect((await store.read.parked()).items.map((item) => item.id)).toEqual([id])
})

test.each([
  [30, 26.9, 27.1],
  [2, 0.9, 1.1],
])('with entries kept for %i days, the entries that expire soon are counted', async (days, before, after) => {
  let nowMs = BASE_MS
  const day = 24 * 3_600_000
  const { store } = await useStore({ now: () => nowMs, expiries: { parked: (days * day) / 1_000 } })
  const about = {
    route: 'agents-status',
    reason: '422',
    attempts: 1,
    eventSourceARN: 'arn:x:enigma-agents-status.fifo',
  }
  const failingEntry = { ...about, key: 'k1', notification: notification('1002', 1), messageId: 'm1' }
  await store.commit({ effects: [say('parked', 1, 1)], done: DONE, parked: [failingEntry] })
  nowMs = BASE_MS + before * day
  expect(await store.read.parkedCounts(3 * day)).toEqual({ parked: 2, expiring: 0 })
  nowMs = BASE_MS + after * day
  // The entry that the relay parked does not count as expiring.
  expect(await store.read.parkedCounts(3 * day)).toEqual({ parked: 2, expiring: 1 })
})
