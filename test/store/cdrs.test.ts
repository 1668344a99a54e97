import { expect, test } from 'vitest'
import { cdr, type CdrDetail, type CdrFilter, type Reads } from '../../src/store/index.ts'
import { parseMoment } from '../../src/api/query-parameters.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, nextId, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const DIALED = BASE_MS / 1000
const DAY = 24 * 3600
const NUMBER = '27821234567'

const toCdr = (callRef: string | number, at: number, more: Record<string, unknown> = {}, receivedAt = at) =>
  cdr(
    toEvent(
      'campaigns',
      'cdr',
      undefined,
      {
        call_ref: String(callRef),
        dialed_at: DIALED + at,
        number: NUMBER,
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

/** The one CDR with this reference. */
async function detail(read: Reads, callRef: string): Promise<CdrDetail | null> {
  const found = (await read.cdrs()).items.filter(({ call_ref }) => call_ref === callRef)
  expect(found).toHaveLength(1)
  return read.cdr(found[0]?.id ?? '')
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

test('a copy of a CDR changes nothing, with the same notification id or another', async () => {
  const { store } = await useStore()
  const once = toCdr(1, 1)
  await store.commit({ effects: [once, once, toCdr(1, 1, {}, 9)], done: DONE })
  const record = await detail(store.read, '1')
  expect(record).toMatchObject({ call_ref: '1', revised: false, revisions: [] })
  expect((await store.read.campaign('c1'))?.counts.map(({ count }) => count)).toEqual([1])
})

test('a CDR with the same key and other content is kept as a revision, flagged and counted once', async () => {
  const { store } = await useStore()
  const first = toCdr(1, 1, {}, 1)
  const second = toCdr(1, 1, { end_reason: 'busy' }, 2)
  await store.commit({ effects: [first, second, first, second], done: DONE })
  expect(await detail(store.read, '1')).toMatchObject({
    end_reason: 'busy',
    revised: true,
    revisions: [{ end_reason: 'hungup' }],
  })
  expect((await store.read.campaign('c1'))?.counts).toMatchObject([{ end_reason: 'busy', count: 1 }])
  expect(await all(store.read, { agent: '1002' })).toEqual(['1'])
})

test('a revision received earlier does not replace a later one', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [toCdr(1, 1, { end_reason: 'busy' }, 2), toCdr(1, 1, {}, 1)], done: DONE })
  expect(await detail(store.read, '1')).toMatchObject({
    end_reason: 'busy',
    revised: true,
    revisions: [{ end_reason: 'hungup' }],
  })
})

test('pages return every CDR once while new ones are committed, even with many in one second', async () => {
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

test('a campaign keeps only the hourly counts of the last days', async () => {
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

test('a CDR dialled years ago is listed for three days after receipt and not counted', async () => {
  let nowMs = BASE_MS
  const { store } = await useStore({ now: () => nowMs })
  const old = toCdr('sample', -9 * 365 * DAY, {}, 0)
  await store.commit({ effects: [old], done: DONE })
  const dialedMs = (DIALED - 9 * 365 * DAY) * 1000
  const filters: CdrFilter[] = [
    {},
    { campaign: 'c1' },
    { agent: '1002' },
    { contact: 'k1' },
    { number: NUMBER },
    { fromMs: dialedMs, toMs: dialedMs },
  ]
  const found = async () => Promise.all(filters.map((filter) => all(store.read, filter)))
  expect(await found()).toEqual(filters.map(() => ['sample']))
  expect((await store.read.campaign('c1'))?.counts).toEqual([])
  nowMs += 2 * DAY * 1000
  // A copy does not keep it for longer.
  await store.commit({ effects: [old], done: DONE })
  expect(await found()).toEqual(filters.map(() => ['sample']))
  nowMs += DAY * 1000 + 1
  expect(await found()).toEqual(filters.map(() => []))
  await store.commit({ effects: [toCdr('sample', -9 * 365 * DAY, {}, 3 * DAY)], done: DONE })
  expect(await found()).toEqual(filters.map(() => ['sample']))
})

test('expired CDRs are not listed, and a quarter of an hour without CDRs is removed from the index', async () => {
  let nowMs = BASE_MS
  const { store, redis } = await useStore({ now: () => nowMs })
  const client = await useRedisClient(redis.url)
  await store.commit({ effects: Array.from({ length: 1_000 }, (_, at) => toCdr(at, at % 60)), done: DONE })
  const before = await client.zRange('enigma:quarters', 0, -1)
  nowMs += 3 * DAY * 1000 + 61_000
  expect((await store.read.cdrs({ limit: 500 })).items).toEqual([])
  nowMs += 3 * 3_600_000
  await store.commit({ effects: [toCdr('monday', 3 * DAY)], done: DONE })
  expect(await all(store.read, {})).toEqual(['monday'])
  const after = await client.zRange('enigma:quarters', 0, -1)
  expect([after.length, after.filter((quarter) => before.includes(quarter))]).toEqual([1, []])
})

test('a copy that was serialised in another way is the same CDR', async () => {
  const { store } = await useStore()
  const first = { vendor: { b: [1, { d: '2', c: true }], a: 1.5 }, end_code: 16, empty: null }
  const again = { empty: undefined, end_code: '16', vendor: { a: '1.5', b: ['1', { c: true, d: 2 }] }, extension: 1002 }
  await store.commit({ effects: [toCdr(1, 1, first), toCdr(1, 1, again, 9)], done: DONE })
  expect((await store.read.cdrs()).items).toMatchObject([{ revised: false }])
  await store.commit({ effects: [toCdr(1, 1, { ...first, vendor: { a: 1.5 } }, 10)], done: DONE })
  expect((await store.read.cdrs()).items).toMatchObject([{ revised: true }])
})

test('a CDR received by both transports is stored once; two numbers in one second are two CDRs', async () => {
  const { store } = await useStore()
  const own = { call_ref: '1', dialed_at: DIALED, number: NUMBER, ref: 'c1', end_reason: 'busy' }
  const both = (['list', 'pubsub'] as const).map((transport) =>
    cdr(toEvent('campaigns', 'cdr', undefined, own, 1, { transport, id: nextId() })),
  )
  await store.commit({ effects: [...both, toCdr(1, 0, { number: '27830000000', end_reason: 'hungup' })], done: DONE })
  expect((await store.read.cdrs()).items.map((record) => [record.number, record.revised])).toEqual([
    [expect.any(String), false],
    [expect.any(String), false],
  ])
  expect((await store.read.campaign('c1'))?.counts.map(({ count }) => count)).toEqual([1, 1])
})

test('a CDR whose dialed_at is unknown or in the future is listed by its time of receipt and flagged', async () => {
  const { store } = await useStore()
  const odd = [null, DIALED * 1000, DIALED * 999, -5, Number.NaN, DIALED + 2 * DAY]
  await store.commit({
    effects: odd.map((dialed_at, index) => toCdr(`odd${index}`, 0, { dialed_at }, index)),
    done: DONE,
  })
  const { items } = await store.read.cdrs({ fromMs: BASE_MS, toMs: BASE_MS + odd.length * 1000 })
  expect(
    items.map(({ call_ref, dialed_at, received_at, unsure }) => [call_ref, dialed_at === received_at, unsure]),
  ).toEqual(odd.map((_, index) => [`odd${odd.length - 1 - index}`, true, ['dialed_at']]))
  for (const { dialed_at } of items) expect(parseMoment(dialed_at)).toBe(Date.parse(dialed_at))
})

test('a copy of a CDR without a call_ref is listed once, unless its dialed_at is unknown', async () => {
  const { store } = await useStore()
  const own = (at: number, more: object) => toCdr(1, 1, { call_ref: null, ...more }, at)
  await store.commit({
    effects: [
      own(1, {}),
      own(2, { end_code: '16' }),
      own(3, { number: '27830000000' }),
      own(4, { end_reason: 'busy' }),
      own(5, { dialed_at: null }),
      own(6, { dialed_at: null }),
    ],
    done: DONE,
  })
  const { items } = await store.read.cdrs()
  expect(items.map(({ call_ref, revised }) => [call_ref, revised])).toEqual(
    Array.from({ length: 5 }, () => [null, false]),
  )
  expect((await store.read.campaign('c1'))?.counts.reduce((sum, { count }) => sum + count, 0)).toBe(5)
})

test('the id of a CDR differs between databases, and a revision keeps it', async () => {
  let nowMs = BASE_MS
  const own = { now: () => nowMs }
  const [one, two] = [await useStore(own), await useStore(own)]
  const ids = async () =>
    Promise.all([one, two].map(async ({ store }) => (await store.read.cdrs()).items.map(({ id }) => id)))
  for (const { store } of [one, two]) await store.commit({ effects: [toCdr(1, 1)], done: DONE })
  const [[first] = [], [second] = []] = await ids()
  expect(first).toMatch(/^[0-9A-Za-z]{10}$/)
  expect(second).not.toBe(first)
  nowMs += DAY * 1000
  for (const { store } of [one, two])
    await store.commit({ effects: [toCdr(1, 1, { end_reason: 'busy' }, 9)], done: DONE })
  expect(await ids()).toEqual([[first], [second]])
})

test('2,000 CDRs of one second, campaign, agent, contact and number are each found once by every filter', async () => {
  const { store } = await useStore()
  const refs = Array.from({ length: 2_000 }, (_, index) => String(index))
  for (let from = 0; from < refs.length; from += 500) {
    // Two revisions in one commit add nothing to the index.
    const effects = refs.slice(from, from + 500).flatMap((ref) => [toCdr(ref, 5), toCdr(ref, 5, { end_code: 17 }, 6)])
    await store.commit({ effects, done: DONE })
  }
  for (const filter of [{}, { campaign: 'c1' }, { agent: '1002' }, { number: NUMBER }, { contact: 'k1' }])
    expect((await all(store.read, { ...filter, limit: 300 })).toSorted()).toEqual(refs.toSorted())
})
