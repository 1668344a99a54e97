import { expect, test } from 'vitest'
import { cdr, cdrId, type CdrFilter, type Reads } from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, nextId, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const DIALED = BASE_MS / 1000
const DAY = 24 * 3600

const toCdr = (callRef: string | number, at: number, more: Record<string, unknown> = {}, receivedAt = at) =>
  cdr(
    toEvent(
      'campaigns',
      'cdr',
      undefined,
      {
        call_ref: String(callRef),
        dialed_at: DIALED + at,
        number: '27821234567',
        dial_number: '0821234567',
        contact_ref: 'k1',
        extension: '1002',
        end_reason: 'hungup',
        end_code: 16,
        call_time: 30,
        ref: 'c1',
        ...more,
      },
      receivedAt,
      { transport: 'list', id: nextId() },
    ),
  )

async function all(read: Reads, filter: CdrFilter): Promise<string[]> {
  const refs: string[] = []
  for (let cursor: string | undefined; ;) {
    const page = await read.cdrs({ ...filter, ...(cursor === undefined ? {} : { cursor }) })
    refs.push(...page.items.map((record) => record.call_ref ?? ''))
    if (page.next === null) return refs
    cursor = page.next
  }
}

test('a CDR is found by time, campaign, agent, contact, number and end reason', async () => {
  const { store } = await useStore()
  await store.commit({
    effects: [
      toCdr(1, 1),
      toCdr(2, 2, { ref: 'c2', extension: null }),
      toCdr(3, 3, { contact_ref: 'k9', end_reason: 'busy' }),
      toCdr(4, 4, { number: '27830000000' }),
    ],
    done: DONE,
  })
  expect(await all(store.read, {})).toEqual(['4', '3', '2', '1'])
  expect(await all(store.read, { fromMs: (DIALED + 2) * 1000, toMs: (DIALED + 3) * 1000 })).toEqual(['3', '2'])
  expect(await all(store.read, { campaign: 'c2' })).toEqual(['2'])
  expect(await all(store.read, { agent: '1002', endReason: 'hungup' })).toEqual(['4', '1'])
  expect(await all(store.read, { contact: 'k9' })).toEqual(['3'])
  expect(await all(store.read, { number: '27830000000' })).toEqual(['4'])
  expect(await all(store.read, { number: '0821234567', campaign: 'c1' })).toEqual(['4', '3', '1'])
  expect(await all(store.read, { campaign: 'nowhere' })).toEqual([])
})

test('the same again changes nothing, under its own id and under another', async () => {
  const { store } = await useStore()
  const once = toCdr(1, 1)
  await store.commit({ effects: [once, once, toCdr(1, 1, {}, 9)], done: DONE })
  const record = await store.read.cdr(cdrId('main', '1', DIALED + 1))
  expect(record).toMatchObject({ call_ref: '1', revised: false, revisions: [] })
  expect((await store.read.campaign('c1'))?.counts.map(({ count }) => count)).toEqual([1])
})

test('other content under the same key is kept as a revision, flagged, and counted once', async () => {
  const { store } = await useStore()
  const first = toCdr(1, 1, {}, 1)
  const second = toCdr(1, 1, { end_reason: 'busy' }, 2)
  await store.commit({ effects: [first, second, first, second], done: DONE })
  const id = cdrId('main', '1', DIALED + 1)
  expect(await store.read.cdr(id)).toMatchObject({
    end_reason: 'busy',
    revised: true,
    revisions: [{ end_reason: 'hungup' }],
  })
  expect((await store.read.campaign('c1'))?.counts).toMatchObject([{ end_reason: 'busy', count: 1 }])
  expect(await all(store.read, { agent: '1002' })).toEqual(['1'])
})

test('a revision that was received earlier does not take the place of a later one', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [toCdr(1, 1, { end_reason: 'busy' }, 2), toCdr(1, 1, {}, 1)], done: DONE })
  expect(await store.read.cdr(cdrId('main', '1', DIALED + 1))).toMatchObject({
    end_reason: 'busy',
    revised: true,
    revisions: [{ end_reason: 'hungup' }],
  })
})

test('cursors hold while new CDRs come in, also with many of the same second', async () => {
  const { store } = await useStore()
  await store.commit({ effects: Array.from({ length: 30 }, (_, index) => toCdr(index, 5)), done: DONE })
  const first = await store.read.cdrs({ limit: 7 })
  await store.commit({ effects: Array.from({ length: 5 }, (_, index) => toCdr(100 + index, 6)), done: DONE })
  const seen = first.items.map((record) => record.call_ref)
  for (let cursor = first.next; cursor !== null;) {
    const page = await store.read.cdrs({ limit: 7, cursor })
    seen.push(...page.items.map((record) => record.call_ref ?? ''))
    cursor = page.next
  }
  expect(seen.toSorted((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: 30 }, (_, index) => String(index)),
  )
})

test('a large call_ref and a fraction keep their digits; every field that was sent is in the payload', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [toCdr('123456789012345678901', 1, { vendor_extra: { deep: '😀' } })], done: DONE })
  expect(await store.read.cdr(cdrId('main', '123456789012345678901', DIALED + 1))).toMatchObject({
    call_ref: '123456789012345678901',
    payload: { vendor_extra: { deep: '😀' } },
  })
})

test('CDRs run out: records, indexes and counters have an expiry', async () => {
  const { store, redis } = await useStore()
  await store.commit({ effects: [toCdr(1, 1)], done: DONE })
  const client = await useRedisClient(redis.url)
  const keys = await client.keys('enigma:*')
  const lasting = await Promise.all(keys.map(async (key) => ((await client.ttl(key)) === -1 ? key : undefined)))
  expect(lasting.filter((key) => key !== undefined)).toEqual([])
})

test('a campaign that runs for months has the counts of the last days only', async () => {
  let nowMs = BASE_MS
  const { store } = await useStore({ now: () => nowMs })
  for (let day = 0; day < 9; day++) {
    nowMs = BASE_MS + day * DAY * 1000
    await store.commit({ effects: [toCdr(day, day * DAY)], done: DONE })
  }
  // One that comes back out of the dialler's backup a week late.
  await store.commit({ effects: [toCdr(99, DAY, {}, 8 * DAY)], done: DONE })
  const hours = (await store.read.campaign('c1'))?.counts.map(({ hour, count }) => [hour, count])
  expect(hours).toEqual(
    [5, 6, 7, 8].map((day) => [`${new Date(BASE_MS + day * DAY * 1000).toISOString().slice(0, 13)}:00:00Z`, 1]),
  )
})

test('one that was dialled in thousands of years is found among those of today, and goes when they go', async () => {
  let nowMs = BASE_MS
  const { store } = await useStore({ now: () => nowMs })
  await store.commit({ effects: [toCdr('ms', DIALED * 999)], done: DONE })
  expect(await all(store.read, { toMs: nowMs })).toEqual(['ms'])
  nowMs += 4 * DAY * 1000
  await store.commit({ effects: [toCdr(1, 4 * DAY)], done: DONE })
  expect(await all(store.read, {})).toEqual(['1'])
})
