import { expect, test } from 'vitest'
import {
  agentCall,
  agentStats,
  agentStatus,
  audit,
  campaignStats,
  campaignStatus,
  cdr,
  dialPreview,
  latest,
  other,
  relayAlive,
  relayGap,
  relayParked,
  type Effect,
  claimEntries,
  noteSent,
  startReplay,
  deleteEntries,
} from '../../src/store/index.ts'
import { notification } from '../adapter/factories.ts'
import { useRedisClient } from '../support/redis.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, toEvent } from './events.ts'

const DAY_SECONDS = 24 * 3_600
const DAYS = 30

/** Lets a day pass in the database: deletes the keys that would have expired. */
const PASS_DAY = `
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then
    if left <= tonumber(ARGV[1]) then redis.call('DEL', key) else redis.call('PEXPIRE', key, left - tonumber(ARGV[1])) end
  end
end`

/** The effects of a day: of agents and campaigns that stay, and of others that are there for this day only. */
function* toDay(day: number): Generator<Effect> {
  const start = day * DAY_SECONDS
  const agents = [
    ...Array.from({ length: 20 }, (_, n) => `stays-${n}`),
    ...Array.from({ length: 20 }, (_, n) => `d${day}-${n}`),
  ]
  for (const [index, ref] of agents.entries()) {
    const at = start + index
    const campaign = index % 2 === 0 ? 'all' : `c${day}`
    yield agentStatus(toEvent('agents', 'status', ref, { status: 'busy', campaign_ref: campaign }, at))
    yield agentCall(toEvent('agents', 'call', ref, { call_ref: `${day}-${index}`, number: '27821234567' }, at + 1))
    yield agentStatus(toEvent('agents', 'status', ref, { status: 'wrapup', campaign_ref: campaign }, at + 2))
    yield agentStats(toEvent('agents', 'stats', ref, { campaign_ref: campaign, calls: day }, at))
    yield latest(toEvent('agents', 'break', ref, { text: 'x'.repeat(1_000) }, at))
    // Some CDRs come from a backup and were dialled years before.
    const dialed = index % 5 === 0 ? at - index * 90 * DAY_SECONDS : at
    const payload = {
      call_ref: `${day}-${index}`,
      dialed_at: BASE_MS / 1_000 + dialed,
      number: `2782${day}${index}`,
      end_reason: `word-${day}-${index}`,
      ref: campaign,
      extension: ref,
    }
    yield cdr(toEvent('campaigns', 'cdr', undefined, payload, at + 3, { transport: 'list' }))
    yield other(toEvent('agents', `t${day}-${index}`, undefined, undefined, at, { data: 'x'.repeat(500) }))
  }
  for (const ref of ['all', `c${day}`]) {
    yield campaignStatus(toEvent('campaigns', 'status', ref, { status: day % 2 === 0 ? 'started' : 'stopped' }, start))
    yield campaignStats(toEvent('campaigns', 'stats', ref, { total_calls: day }, start))
    yield dialPreview(
      toEvent('campaigns', 'dial_preview', ref, { callees: [{ number: '1', contact_ref: 'a' }] }, start),
    )
  }
  const gap = {
    source: 'main',
    relay: 'r',
    from: '',
    cause: 'start',
    patterns: [],
    to: new Date(BASE_MS + start * 1_000).toISOString(),
  }
  yield relayGap(toEvent('relay', 'gap', 'main', gap, start, { transport: 'relay' }))
  yield relayAlive(
    toEvent('relay', 'alive', `relay-${day}`, { relay: `relay-${day}`, sources: [], started: '' }, start),
  )
  const parked = {
    id: `p${day}`,
    source: 'main',
    route: 'other',
    type: 'x',
    reason: 'refused',
    detail: '',
    received: '',
    bytes: 1,
  }
  const parkedat = new Date(BASE_MS + start * 1_000).toISOString()
  yield relayParked(toEvent('relay', 'parked', 'main', { ...parked, parkedat, state: 'parked' }, start))
}

/** Bytes of all keys, by the first part of their name after the prefix. */
const WEIGH = `
local sizes, replies = {}, {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local family = string.match(key, '^[^:]*:([^:]*)')
  sizes[family] = (sizes[family] or 0) + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0')
end
for family, size in pairs(sizes) do
  replies[#replies + 1] = family
  replies[#replies + 1] = size
end
return replies`

/** The daily action of an operator: one line of the audit log. */
const operated = (day: number, id: string) => [
  audit({ id: `a${day}`, at: new Date(BASE_MS).toISOString(), operator: 'o', action: 'replay', what: id, count: 1 }),
]

test('thirty days of work leave no data behind beyond the retention of each key', { timeout: 60_000 }, async () => {
  let day = 0
  const { store, redis } = await useStore({ now: () => BASE_MS + day * DAY_SECONDS * 1_000 })
  const client = await useRedisClient(redis.url)
  const weights: Map<string, number>[] = []
  for (; day < DAYS; day++) {
    const failing = {
      route: 'agents-status',
      key: `k${day}`,
      notification: notification('1002', day),
      reason: '422',
      attempts: 2,
      messageId: `m${day}`,
      eventSourceARN: 'arn:x:enigma-agents-status.fifo',
    }
    await store.commit({
      effects: [...toDay(day)],
      done: new Map([[`m${day}`, ['a', 'b']]]),
      failed: [{ messageId: `m${day}`, attempt: 1, reason: '503', keys: [`k${day}`] }],
      parked: [failing],
    })
    // Each entry is replayed, and every second one is handled.
    const [newest] = (await store.read.parked({ from: 'functions', limit: 1 })).items
    const id = newest?.id ?? ''
    const asked = { operator: 'o', created_at: new Date(BASE_MS).toISOString(), rate: 1, filter: null }
    const job = `r${day}`
    await store.commit({
      effects: [startReplay(job, asked, [id]), claimEntries(job, 1), noteSent(job, '1'), ...operated(day, id)],
      parked: day % 2 === 0 ? [{ ...failing, messageId: `n${day}` }] : [],
      replayed: [{ job, entry: id, hasFailed: day % 2 === 0, messageId: `n${day}` }],
      done: new Map(),
    })
    // Every second entry that failed again is moved to the bin and stays there.
    const nowMs = BASE_MS + day * DAY_SECONDS * 1_000
    if (day % 4 === 0) await store.commit({ effects: [deleteEntries([id], 'o', nowMs)], done: new Map() })
    if (day === 21 || day === DAYS - 1) {
      const reply = (await client.eval(WEIGH, { keys: [], arguments: [] })) as (string | number)[]
      weights.push(
        new Map(reply.flatMap((family, at) => (at % 2 === 0 ? [[String(family), Number(reply[at + 1])]] : []))),
      )
    }
    await client.eval(PASS_DAY, { keys: [], arguments: [String(DAY_SECONDS * 1_000)] })
  }
  const [before, last] = weights as [Map<string, number>, Map<string, number>]
  // These keys are kept for thirty days or longer, or up to a maximum number. Each grows until it reaches its own limit.
  const LONG = new Set([
    'campaign',
    'campaign_history',
    'campaign_stats',
    'campaign_series',
    'campaigns',
    'campaigns_heard',
    'gap',
    'gaps',
    'gaps_of',
    'gap_latest',
    'relays',
    'parked',
    'parked_of_relay',
    'parked_part',
    'parked_lane',
    'outcome',
    'bin',
    'audit',
    'replay',
    'replay_entries',
    'replays',
    'other',
    'other_counts',
  ])
  const grown = [...last].filter(([family, bytes]) => !LONG.has(family) && bytes > 1.1 * (before.get(family) ?? 0))
  expect(grown).toEqual([])
  for (const family of ['parked_part', 'bin', 'replay', 'attempts', 'done'])
    expect([family, (last.get(family) ?? 0) > 0]).toEqual([family, true])
  // They grow in proportion to the days, and no faster.
  const sum = (sizes: Map<string, number>) =>
    [...sizes].reduce((all, [family, bytes]) => (LONG.has(family) ? all + bytes : all), 0)
  expect(sum(last)).toBeLessThan(1.5 * sum(before))
  expect((await store.read.agents({ limit: 500 })).items.length).toBeLessThan(20 + 20 * 9)
})
