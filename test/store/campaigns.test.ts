import { expect, test } from 'vitest'
import { agentStats, campaignStats, campaignStatus, dialPreview, other } from '../../src/store/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const status = (word: string, at: number) =>
  campaignStatus(toEvent('campaigns', 'status', '12', { ref: '12', status: word }, at))
const preview = (callees: Record<string, unknown>[], at: number) =>
  dialPreview(
    toEvent(
      'campaigns',
      'dial_preview',
      '12',
      { ref: '12', callees: callees as { number: string; contact_ref: string }[] },
      at,
    ),
  )

test('an oversized status is cut to 200 characters, and the history of its campaign keeps 100 entries', async () => {
  const { store } = await useStore()
  const text = (n: number) => `${n} ${'é'.repeat(40_000)}`
  for (let n = 0; n < 120; n += 10)
    await store.commit({ effects: Array.from({ length: 10 }, (_, at) => status(text(n + at), n + at)), done: DONE })
  const campaign = await store.read.campaign('12')
  expect(campaign?.status).toBe(text(119).slice(0, 200))
  expect(campaign?.history).toHaveLength(100)
})

test('stats: the latest values, a series in order, and a decrease of a counter is a reset', async () => {
  const { store } = await useStore()
  const stats = (calls: number, queued: number, at: number) =>
    campaignStats(toEvent('campaigns', 'stats', '12', { total_calls: calls, callees_queued: queued, ref: '12' }, at))
  await store.commit({
    effects: [stats(5, 9, 1), stats(7, 3, 2), stats(7, 3, 2), stats(6, 9, 1.5), stats(1, 4, 3)],
    done: DONE,
  })
  const found = (await store.read.campaign('12'))?.stats[0]
  expect(found).toMatchObject({ values: { total_calls: 1, callees_queued: 4 }, resets: 1 })
  expect(found?.series.map((point) => [point.values['total_calls'], point.reset])).toEqual([
    [5, false],
    [7, false],
    [1, true],
  ])
  await store.commit({
    effects: Array.from({ length: 130 }, (_, at) => agentStats(toEvent('agents', 'stats', '1002', { calls: at }, at))),
    done: DONE,
  })
  expect((await store.read.agent('1002'))?.stats[0]?.series).toHaveLength(120)
})

test('stats keep one series per source and campaign, and no series resets another', async () => {
  const { store } = await useStore()
  const of = (source: string, campaign_ref: string | null, calls: number, at: number) =>
    agentStats(toEvent('agents', 'stats', '1002', { campaign_ref, calls }, at, { source, id: `${source}/p/1/${at}` }))
  const parts = [
    ['main', 'c1', 100],
    ['main', 'c2', 5],
    ['north', 'c1', 50],
    ['main', null, 1],
  ] as const
  const all = [0, 1, 2].flatMap((round) =>
    parts.map(([source, campaign, calls], index) => of(source, campaign, calls + round, 10 * round + index)),
  )
  await store.commit({ effects: [...all, ...all], done: DONE })
  const stats = (await store.read.agent('1002'))?.stats
  expect(
    stats?.map(({ source, campaign_ref, resets, values, series }) => [
      source,
      campaign_ref,
      resets,
      values['calls'],
      series.length,
    ]),
  ).toEqual([
    ['main', null, 0, 3, 3],
    ['main', 'c1', 0, 102, 3],
    ['north', 'c1', 0, 52, 3],
    ['main', 'c2', 0, 7, 3],
  ])
  await store.commit({ effects: Array.from({ length: 40 }, (_, n) => of('main', `c${n + 3}`, 1, 100 + n)), done: DONE })
  expect((await store.read.agent('1002'))?.stats).toHaveLength(20)
  const campaign = ['main', 'north', 'main', 'north'].map((source, n) =>
    campaignStats(toEvent('campaigns', 'stats', '12', { total_calls: n % 2 === 0 ? 90 : 9 }, n, { source })),
  )
  await store.commit({ effects: campaign, done: DONE })
  expect((await store.read.campaign('12'))?.stats).toMatchObject([
    { source: 'main', resets: 0 },
    { source: 'north', resets: 0 },
  ])
})

test('a preview replaces the previous one; an older preview does not', async () => {
  const { store, redis } = await useStore()
  await store.commit({
    effects: [preview([{ number: '1', contact_ref: 'a' }], 1), preview([{ number: '2', contact_ref: 'b' }], 2)],
    done: DONE,
  })
  await store.commit({ effects: [preview([{ number: '1', contact_ref: 'a' }], 1)], done: DONE })
  expect((await store.read.preview('12'))?.callees).toEqual([{ number: '2', contact_ref: 'b' }])
  const client = await useRedisClient(redis.url)
  expect(await client.keys('enigma:preview_part:*')).toHaveLength(1)
})

test('the last 1,000 notifications without a route are kept', async () => {
  const { store } = await useStore()
  const unknown = (at: number, data: string) =>
    other(toEvent('agents', 'mood', '1002', undefined, at, { data, reason: 'unknown_type' }))
  await store.commit({ effects: Array.from({ length: 1_010 }, (_, at) => unknown(10 + at, `n${at}`)), done: DONE })
  const seen: (string | null)[] = []
  for (let cursor: string | undefined; ;) {
    const next = await store.read.other({ limit: 300, ...(cursor === undefined ? {} : { cursor }) })
    seen.push(...next.items.map((record) => record.text))
    if (next.next === null) break
    cursor = next.next
  }
  expect(seen).toEqual(Array.from({ length: 1_000 }, (_, index) => `n${1_009 - index}`))
})

test('records beyond the last 1,000 leave no keys behind, and random types do not grow the counts without bound', async () => {
  const { store, redis } = await useStore()
  const unknown = (at: number) =>
    other(
      toEvent('agents', `t${at}`, '1002', undefined, at, {
        data: 'x'.repeat(200_000 * (at % 2)),
        reason: 'unknown_type',
      }),
    )
  await store.commit({ effects: [unknown(1), unknown(3)], done: DONE })
  await store.commit({ effects: Array.from({ length: 1_100 }, (_, at) => unknown(10 + 2 * at)), done: DONE })
  const client = await useRedisClient(redis.url)
  expect((await client.keys('enigma:other_part:*')).length).toBe(1_000)
  expect((await client.keys('enigma:other_record:*')).length).toBe(1_000)
  const { counts } = await store.read.other()
  expect(Object.keys(counts)).toHaveLength(1_001)
  expect(counts['unknown/unknown']).toBe(102)
})

test('G4: a copy that another relay received a moment later is the same change', async () => {
  const { store } = await useStore()
  const copy = campaignStatus(
    toEvent('campaigns', 'status', '12', { status: 'started', ref: '12' }, 1, {
      time: new Date(BASE_MS + 1_007).toISOString(),
      timeMs: BASE_MS + 1_007,
    }),
  )
  await store.commit({ effects: [status('started', 1), copy], done: DONE })
  expect((await store.read.campaign('12'))?.history).toMatchObject([{ at: new Date(BASE_MS + 1_000).toISOString() }])
})

test('a campaign without notifications for more than thirty days is removed', async () => {
  let nowMs = BASE_MS
  const { store } = await useStore({ now: () => nowMs })
  await store.commit({ effects: [status('completed', 1)], done: DONE })
  nowMs += 31 * 24 * 3600_000
  await store.commit({
    effects: [campaignStatus(toEvent('campaigns', 'status', '13', { status: 'started', ref: '13' }, 31 * 24 * 3600))],
    done: DONE,
  })
  expect((await store.read.campaigns()).items.map(({ ref }) => ref)).toEqual(['13'])
  expect(await store.read.campaign('12')).toBeNull()
})
