import { expect, test } from 'vitest'
import { agentCall, agentStatus, campaignStatus, cdr, relayGap } from '../../src/store/index.ts'
import { dayOf } from '../../src/store/reads/figures.ts'
import { useStore } from '../support/store.ts'
import { BASE_MS, nextId, toEvent } from './events.ts'

const DONE = new Map<string, string[]>()
const status = (ref: string, word: string, campaign: string, at = 1) =>
  agentStatus(toEvent('agents', 'status', ref, { status: word, campaign_ref: campaign }, at))

test("a campaign shows its agents by status, and the totals of today's CDRs in the time zone of the stack", async () => {
  const timeZone = 'Asia/Kathmandu'
  const { fromMs, toMs } = dayOf(timeZone, BASE_MS)
  const { store } = await useStore({ timeZone, now: () => BASE_MS })
  const tried = (callRef: string, dialedMs: number, own: Record<string, unknown> = {}, at = 1) =>
    cdr(
      toEvent(
        'campaigns',
        'cdr',
        undefined,
        { call_ref: callRef, dialed_at: dialedMs / 1_000, ref: 'c1', end_reason: 'busy', extension: null, ...own },
        at,
        { transport: 'list', id: nextId() },
      ),
    )
  const answered = { extension: '1', end_reason: 'hungup', call_time: 30, hold_time: 4 }
  await store.commit({
    effects: [
      status('1', 'busy', 'c1'),
      status('2', 'busy', 'c1'),
      status('2', 'available', 'c2'),
      tried('1', fromMs),
      tried('2', fromMs, answered),
      tried('3', fromMs + 60_000, { ...answered, call_time: 45, hold_time: 1 }),
      // Not answered: the CDR names an agent, but its call_time is 0.
      tried('4', fromMs, { extension: '1', call_time: 0 }),
      tried('yesterday', fromMs - 1_000, answered),
      tried('tomorrow', Math.min(toMs, BASE_MS + 20 * 3_600_000), {
        ...answered,
        ref: toMs < BASE_MS + 20 * 3_600_000 ? 'c1' : 'c9',
      }),
    ],
    done: DONE,
  })
  const today = {
    since: new Date(fromMs).toISOString(),
    cdrs: 4,
    end_reasons: { busy: 2, hungup: 2 },
    answered: 2,
    average_talk_time: 37.5,
    average_hold_time: 2.5,
  }
  const { items } = await store.read.campaigns()
  expect(items.find(({ ref }) => ref === 'c1')).toMatchObject({ today, agents: { busy: 2 } })
  expect(await store.read.campaign('c1')).toMatchObject({ today })
  // In the totals, a revision replaces the CDR that it revises.
  await store.commit({ effects: [tried('2', fromMs, { ...answered, call_time: 130 }, 2)], done: DONE })
  expect(await store.read.campaign('c1')).toMatchObject({ today: { ...today, average_talk_time: 87.5 } })
})

test.each([
  ['UTC', '2026-03-29T12:00:00Z', '2026-03-29T00:00:00Z', '2026-03-30T00:00:00Z'],
  // Clocks are put forward at one in the night, and back at the end of October.
  ['Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z'],
  ['Europe/Berlin', '2026-10-25T22:30:00Z', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z'],
  ['Asia/Kolkata', '2026-11-29T20:00:00Z', '2026-11-29T18:30:00Z', '2026-11-30T18:30:00Z'],
  ['Pacific/Kiritimati', '2026-11-29T09:59:59Z', '2026-11-28T10:00:00Z', '2026-11-29T10:00:00Z'],
])('the day of %s at %s is from %s to %s', (timeZone, at, from, to) => {
  expect(dayOf(timeZone, Date.parse(at))).toEqual({ fromMs: Date.parse(from), toMs: Date.parse(to) })
})

const second = (at: number) => new Date(BASE_MS + at * 1_000).toISOString().replace('.000Z', 'Z')
const RULE = { reasons: ['hungup', 'callee_hungup'], of: 'answered', threshold: 0.03 } as const

test('the wall counts abandoned calls by its rule, today and in the last hour', async () => {
  const nowMs = Date.UTC(2026, 0, 31, 12, 7)
  const { store } = await useStore({ now: () => nowMs })
  const tried = (callRef: string, minutesAgo: number, own: Record<string, unknown>, at = 1) =>
    cdr(
      toEvent(
        'campaigns',
        'cdr',
        undefined,
        { call_ref: callRef, dialed_at: nowMs / 1_000 - minutesAgo * 60, ref: 'c1', ...own },
        at,
        { transport: 'list', id: nextId(), timeMs: nowMs + at },
      ),
    )
  const answered = { extension: '1', end_reason: 'hungup', call_time: 30, hold_time: 4 }
  const nobody = { extension: null, end_reason: 'callee_hungup', call_time: 0 }
  await store.commit({
    effects: [
      ...[1, 2, 3].map((at) => tried(`a${at}`, at, answered)),
      tried('b', 5, nobody),
      tried('c', 66, { ...nobody, end_reason: 'hungup' }),
      tried('d', 68, nobody),
      tried('busy', 5, { ...nobody, end_reason: 'busy' }),
      tried('revised', 5, nobody),
    ],
    done: DONE,
  })
  // A call whose revision names an agent is no longer abandoned.
  await store.commit({ effects: [tried('revised', 5, answered, 2)], done: DONE })
  const { campaigns, totals, abandon_rate } = await store.read.wall(RULE)
  const lastHour = { cdrs: 7, answered: 4, abandoned: { rate: 0.3333, numerator: 2, denominator: 6 } }
  expect(campaigns).toMatchObject([
    {
      ref: 'c1',
      last_hour: { since: '2026-01-31T11:00:00.000Z', ...lastHour },
      today: { cdrs: 8, abandoned: { rate: 0.4286, numerator: 3, denominator: 7 } },
    },
  ])
  expect(totals.last_hour).toMatchObject(lastHour)
  expect(abandon_rate).toEqual({
    formula:
      'abandoned / (answered + abandoned); abandoned: CDRs without an extension that ended with hungup or callee_hungup',
    threshold: 0.03,
    approximate: true,
  })
  const { totals: byAll } = await store.read.wall({ ...RULE, of: 'cdrs', reasons: ['hungup'] })
  expect(byAll.today.abandoned).toEqual({ rate: 0.125, numerator: 1, denominator: 8 })
})

test('the wall shows each agent once, by the latest state that is not offline, with its call', async () => {
  const { store } = await useStore()
  const commit = (...effects: Parameters<typeof store.commit>[0]['effects']) => store.commit({ effects, done: DONE })
  await commit(status('1', 'busy', 'c1', 1), status('1', 'offline', 'c2', 5), status('2', 'offline', 'c1', 2))
  await commit(agentCall(toEvent('agents', 'call', '1', { call_ref: '77', number: '27821234567' }, 2)))
  await commit(campaignStatus(toEvent('campaigns', 'status', 'c1', { status: 'started' }, 3)))
  const { agents, campaigns, totals } = await store.read.wall(RULE)
  expect(agents).toEqual([
    {
      ref: '1',
      status: 'busy',
      since: second(1),
      campaign: 'c1',
      call: { ref: '77', since: second(2) },
    },
    { ref: '2', status: 'offline', since: second(2), campaign: 'c1' },
  ])
  expect(campaigns).toMatchObject([{ ref: 'c1', status: 'started', agents: { busy: 1, offline: 1 }, calls: 1 }])
  expect(totals).toMatchObject({ agents: { busy: 1, offline: 1 }, campaigns: { started: 1 }, calls: 1, unsure: 0 })
  // After a gap, states from before it may have changed.
  const payload = {
    source: 'main',
    relay: 'r1',
    from: '',
    to: new Date(BASE_MS + 9_000).toISOString(),
    cause: 'reconnect',
    patterns: [],
  }
  await commit(relayGap(toEvent('relay', 'gap', 'main', payload, 9, { transport: 'relay' })))
  const unsure = await store.read.wall(RULE)
  expect(unsure.agents).toMatchObject([{ unsure: true, call: { unsure: true } }, { unsure: true }])
  expect(unsure.campaigns).toMatchObject([{ unsure: true }])
  expect(unsure.totals.unsure).toBe(2)
})

test('the first wall of a process takes two requests, and each later one takes one, even with a new agent', async () => {
  const { store, proxy } = await useStore()
  const commit = (...refs: string[]) =>
    store.commit({ effects: refs.map((ref) => status(ref, 'busy', 'c1')), done: DONE })
  await commit('1', '2')
  const requestsOf = async (run: () => Promise<unknown>) => {
    const before = proxy.seen.requests
    await run()
    return proxy.seen.requests - before
  }
  expect(await requestsOf(() => store.read.wall(RULE))).toBe(2)
  expect(await requestsOf(() => store.read.wall(RULE))).toBe(1)
  await commit('3')
  const refs: string[] = []
  expect(await requestsOf(async () => refs.push(...(await store.read.wall(RULE)).agents.map(({ ref }) => ref)))).toBe(1)
  expect(refs).toEqual(['1', '2', '3'])
  expect(await requestsOf(() => store.read.wall(RULE))).toBe(1)
})

const tried = (n: number, own: object) =>
  cdr(
    toEvent('campaigns', 'cdr', undefined, { call_ref: `c${n}`, dialed_at: Date.now() / 1_000 - n, ...own }, n, {
      transport: 'list',
      id: nextId(),
    }),
  )

test('statuses and end reasons that are named like object properties are counted like any other', async () => {
  const { store } = await useStore()
  const words = ['constructor', '__proto__', 'toString']
  await store.commit({
    effects: [
      ...words.map((word, at) =>
        agentStatus(toEvent('agents', 'status', `a${at}`, { status: word, campaign_ref: 'c1' }, 1)),
      ),
      ...words.map((word, at) => campaignStatus(toEvent('campaigns', 'status', `c${at}`, { status: word }, 1))),
      ...words.map((word, at) => tried(at, { ref: 'c1', end_reason: word })),
    ],
    done: DONE,
  })
  const wall = await store.read.wall(RULE)
  const ones = words.map((word) => [word, 1])
  const sorted = (counts: Record<string, number> | undefined) =>
    Object.entries(counts ?? {})
      .filter(([word]) => words.includes(word))
      .toSorted(([a], [b]) => words.indexOf(a) - words.indexOf(b))
  expect(sorted(wall.totals.agents)).toEqual(ones)
  expect(sorted(wall.totals.campaigns)).toEqual(ones)
  expect(sorted(wall.campaigns.find(({ ref }) => ref === 'c1')?.agents)).toEqual(ones)
  expect(sorted(wall.totals.today.end_reasons)).toEqual(ones)
  expect(sorted((await store.read.agents({ counts: true })).counts)).toEqual(ones)
  expect(sorted((await store.read.campaigns()).items.find(({ ref }) => ref === 'c1')?.agents)).toEqual(ones)
})

test('the totals of the wall count CDRs that name no campaign', async () => {
  const { store } = await useStore()
  await store.commit({ effects: [tried(1, { ref: 'c1' }), tried(2, {})], done: DONE })
  const { totals, campaigns } = await store.read.wall(RULE)
  expect([totals.last_hour.cdrs, campaigns.map(({ last_hour }) => last_hour.cdrs)]).toEqual([2, [1]])
})
