import { expect, it } from 'vitest'
import type { NextRound, Replay, StoreWriter } from 'enigma-relay/store'
import { createApi } from '../../src/api/index.ts'
import { formatEvent, type Notification } from '../../src/protocol/index.ts'
import { toOutcomeEffects } from '../../src/store/effects/park-effects.ts'
import { notification } from '../adapter/factories.ts'
import { useApi } from './api-world.ts'

const [OPERATOR, READER] = ['o'.repeat(40), 'r'.repeat(40)]
const BASE_MS = Date.now()

/** The API without SQS, with a test clock, and entries parked as by functions behind HTTP. */
async function useRounds() {
  const clock = { ms: BASE_MS }
  const now = () => clock.ms
  const { store, commit } = await useApi({ store: { now } })
  const tokens = `jane:operate:${OPERATOR}\nbob:read:${READER}`
  const app = createApi({
    read: store.read,
    tokens,
    now,
    replay: { commit: store.commit satisfies StoreWriter['commit'] },
  })
  const ask = async <Answer>(path: string, body: unknown, token = OPERATOR) => {
    const response = await app.request(path, {
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    })
    return {
      status: response.status,
      answer: (await response.json()) as Answer & { detail: string; parameter?: string },
    }
  }
  const next = async (relay: string, round?: object) => {
    const { status, answer } = await ask<NextRound>('/replays/next', {
      relay,
      ...(round === undefined ? {} : { round }),
    })
    expect([status, answer.detail]).toEqual([200, undefined])
    return answer
  }
  const parkedOf = (index: number, own: object = {}) => {
    const one: Notification = notification(`a${index}`, index)
    return {
      route: 'agents-status',
      key: one.id,
      notification: one,
      reason: '422: no',
      attempts: 1,
      messageId: one.id,
      messageGroupId: String(index),
      ...own,
    }
  }
  return {
    store,
    clock,
    ask,
    next,
    parkedOf,
    commit,
    park: async (count: number) => {
      const parked = Array.from({ length: count }, (_, index) => parkedOf(index))
      await commit(...(await toOutcomeEffects({ parked, failed: [], replayed: [] }, BASE_MS)))
    },
    start: async (body: object = { filter: {} }) => (await ask<Replay>('/replays', body)).answer,
    replay: async (id: string) => (await ask<Replay>(`/replays/${id}`, undefined)).answer,
  }
}

const entriesOf = ({ round }: NextRound) => round?.messages.map(({ entry }) => entry) ?? []
const accepted = (entries: readonly string[]) => entries.map((entry) => ({ entry }))

it('returns a round with the original events, and the waiting time that keeps the rate of the replay', async () => {
  const { park, start, next, replay } = await useRounds()
  await park(3)
  expect(await next('a')).toEqual({ go_on: false, round: null, wait_ms: 10_000 })
  const job = await start({ filter: {}, rate: 2 })
  const first = await next('a')
  expect(first).toEqual({
    go_on: false,
    wait_ms: 1_000,
    round: {
      job: job.id,
      round: '1',
      again: false,
      messages: [0, 1].map((index) => ({
        entry: expect.stringMatching(/^[0-9a-f]{20}$/) as string,
        route: 'agents-status',
        lane: String(index),
        event: formatEvent(notification(`a${index}`, index)),
      })),
    },
  })
  expect((await replay(job.id)).counts).toMatchObject({ waiting: 1, sent: 2 })
  // The same round is returned until the relay reports it as done.
  const again = await next('a')
  expect([again.round?.again, entriesOf(again)]).toEqual([true, entriesOf(first)])
  const [one = '', two = ''] = entriesOf(again)
  const report = {
    job: job.id,
    round: '1',
    settled: [{ entry: one }, { entry: two, reason: 'status 413' }],
    done: true,
  }
  const second = await next('a', report)
  expect([second.round?.round, second.round?.messages.length]).toEqual(['2', 1])
  // A repeated report changes nothing.
  expect((await next('a', report)).round?.round).toBe('2')
  await next('a', { job: job.id, round: '2', settled: accepted(entriesOf(second)), done: true })
  expect(await replay(job.id)).toMatchObject({
    state: 'done',
    counts: { waiting: 0, sent: 0, handled: 2, failed_again: 1, skipped: 0 },
  })
  expect(await next('a')).toEqual({ go_on: false, round: null, wait_ms: 10_000 })
})

it('a second relay gets nothing while the first works, and takes over its unfinished messages after a minute of silence', async () => {
  const { park, start, next, clock, replay } = await useRounds()
  await park(2)
  const job = await start()
  expect(job.waits_for).toBe('relay')
  const first = await next('a')
  const [one = '', two = ''] = entriesOf(first)
  expect((await replay(job.id)).waits_for).toBeNull()
  const working = { job: job.id, round: '1', settled: accepted([one]), done: false }
  clock.ms += 50_000
  expect([(await next('b')).round, await next('a', working)]).toEqual([null, { go_on: true, round: null, wait_ms: 0 }])
  clock.ms += 50_000
  expect((await next('b')).round).toBeNull()
  clock.ms += 20_000
  expect((await replay(job.id)).waits_for).toBe('relay')
  // A message that the first relay settled is not sent again.
  const taken = await next('b')
  expect([taken.round?.again, entriesOf(taken)]).toEqual([true, [two]])
  // The first relay wakes up: the API tells it to stop and ignores its report.
  expect(await next('a', working)).toMatchObject({ go_on: false, round: null })
  await next('a', { ...working, settled: [{ entry: two, reason: 'late' }], done: true })
  expect((await replay(job.id)).counts).toMatchObject({ sent: 1, handled: 1, failed_again: 0 })
  await next('b', { job: job.id, round: '1', settled: accepted([two]), done: true })
  expect(await replay(job.id)).toMatchObject({ state: 'done', counts: { handled: 2 } })
})

it('the outcome that a function committed overrides the report of a relay', async () => {
  const { store, park, parkedOf, start, next, replay } = await useRounds()
  await park(2)
  const job = await start()
  const [one = '', two = ''] = entriesOf(await next('a'))
  const of = (entry: string) => ({ job: job.id, entry })
  await store.commit({
    effects: [],
    done: new Map(),
    parked: [parkedOf(1, { reason: '409: again', messageId: `${job.id}/${two}`, replay: of(two) })],
    replayed: [
      { ...of(one), hasFailed: false, messageId: `${job.id}/${one}` },
      { ...of(two), hasFailed: true, messageId: `${job.id}/${two}` },
    ],
  })
  // The relay lost the answers and asks again: nothing is left to send.
  expect((await next('a')).round).toBeNull()
  await next('a', { job: job.id, round: '1', settled: accepted([one, two]), done: true })
  expect(await replay(job.id)).toMatchObject({ state: 'done', counts: { handled: 1, failed_again: 1 } })
  expect((await store.read.parked()).items.map(({ reason }) => reason)).toEqual(['409: again'])
})

it('several replays take turns, and a stopped replay returns no more rounds', async () => {
  const { park, start, next, ask, clock } = await useRounds()
  await park(4)
  const { items } = (await ask<{ items: { id: string }[] }>('/parked', undefined)).answer
  const ids = items.map(({ id }) => id)
  const jobs = [await start({ ids: ids.slice(0, 2), rate: 1 })]
  clock.ms += 1
  jobs.push(await start({ ids: ids.slice(2), rate: 1 }))
  const given: (string | undefined)[] = []
  let answer = await next('a')
  for (let turn = 0; turn < 3; turn++) {
    clock.ms += 1_000
    given.push(answer.round?.job)
    const { job = '', round = '' } = answer.round ?? {}
    answer = await next('a', { job, round, settled: accepted(entriesOf(answer)), done: true })
  }
  expect(given).toEqual([jobs[0]?.id, jobs[1]?.id, jobs[0]?.id])
  expect(answer.round?.job).toBe(jobs[1]?.id)
  await ask(`/replays/${jobs[1]?.id}/stop`, {})
  expect((await next('a')).round).toBeNull()
})

it('a round is split over several answers, each with at most 1.5 million characters of events', async () => {
  const { commit, parkedOf, start, next, replay } = await useRounds()
  const large = (index: number) => {
    const one = parkedOf(index)
    // Noise does not compress.
    const noise = Array.from({ length: 20_000 }, (_, at) => Math.abs(Math.sin(at * (index + 1))).toString(36)).join('')
    return { ...one, notification: notification(`a${index}`, index, { payload: { noise: noise.repeat(3) } }) }
  }
  const parked = [large(0), large(1), large(2)]
  await commit(...(await toOutcomeEffects({ parked, failed: [], replayed: [] }, BASE_MS)))
  const job = await start()
  const sizes: number[] = []
  for (let answer = await next('a'); answer.round !== null;) {
    sizes.push(answer.round.messages.length)
    const characters = answer.round.messages.reduce((sum, { event }) => sum + event.length, 0)
    expect(characters).toBeLessThanOrEqual(1_500_000)
    const { round } = answer.round
    answer = await next('a', { job: job.id, round, settled: accepted(entriesOf(answer)), done: true })
  }
  expect(sizes.length).toBeGreaterThan(1)
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(3)
  expect(await replay(job.id)).toMatchObject({ state: 'done', counts: { handled: 3 } })
})

it('a message that is not a single event fails at once, since only a queue accepts it', async () => {
  const { commit, start, next, replay } = await useRounds()
  const unreadable = {
    route: 'agents-status',
    body: 'no event',
    reason: 'the body is not JSON',
    attempts: 1,
    messageId: 'm',
  }
  await commit(...(await toOutcomeEffects({ parked: [unreadable], failed: [], replayed: [] }, BASE_MS)))
  const job = await start()
  expect((await next('a')).round).toBeNull()
  expect(await replay(job.id)).toMatchObject({ state: 'done', counts: { failed_again: 1 } })
})

it('only operators may request a round, with a valid body; without queues, dead letters and commands are a 503', async () => {
  const { ask, commit } = await useRounds()
  expect((await ask('/replays/next', { relay: 'a' }, READER)).status).toBe(403)
  const report = { job: 'j', round: '1', settled: [], done: true }
  for (const [body, parameter] of [
    [{}, 'relay'],
    [{ relay: '' }, 'relay'],
    [{ relay: 'a', round: { ...report, done: 'yes' } }, 'round.done'],
    [{ relay: 'a', round: { ...report, settled: [{ entry: '' }] } }, 'round.settled.0.entry'],
    [{ relay: 'a', more: 1 }, 'more'],
  ] as const) {
    const { status, answer } = await ask<object>('/replays/next', body)
    expect([status, answer.parameter]).toEqual([400, parameter])
  }
  expect(await ask('/replays/next', { relay: 'a', round: report })).toMatchObject({ status: 200 })
  expect(await ask('/parked/drain', {})).toMatchObject({
    status: 503,
    answer: { detail: expect.stringContaining('without SQS') as string },
  })
  const { relayParked } = await import('enigma-relay/store')
  const { notice } = await import('./api-world.ts')
  const own = {
    source: 'main',
    id: 'main/l/1/1',
    state: 'parked',
    route: 'other',
    reason: 'too_large',
    detail: '',
    channel: '',
    received: '2026-01-31T08:00:00.000Z',
    bytes: 1,
  } as const
  await commit(relayParked(notice({ ...own }, { type: 'relay', subType: 'parked' }) as never))
  for (const [path, body] of [
    ['/replays', { filter: { from: 'relay' } }],
    ['/parked/delete', { filter: { from: 'relay' }, forever: true }],
  ] as const)
    expect(await ask(path, body)).toMatchObject({
      status: 503,
      answer: { detail: expect.stringContaining('enigma-relay parked') as string },
    })
})
