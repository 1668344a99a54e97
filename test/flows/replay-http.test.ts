import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import type { NextRound } from '../../src/store/index.ts'
import { notification } from '../adapter/factories.ts'
import { waitFor } from '../support/relay.ts'
import { OPERATOR, PUSH, useReplaysByHttp } from '../support/replays-by-http.ts'
import { createSend } from '../support/send-again.ts'

const status = (agent: string, n: number) => notification(agent, n, { payload: { ref: agent, status: 'busy' } })
const untilDone = async (detail: (id: string) => Promise<{ state: string }>, id: string) =>
  waitFor(async () => (await detail(id)).state === 'done', 'the replay to end', 30_000)

test(
  'without SQS, a replay waits for a relay, which sends the parked entries in order; each is handled or fails again',
  { timeout: 60_000 },
  async () => {
    const { state, runs, deliver, parked, ask, detail, startRelay } = await useReplaysByHttp()
    state.answer = () => 422
    const outcomes = await deliver(Array.from({ length: 30 }, (_, n) => status(`a${n % 3}`, n)))
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['parked']))
    const before = await parked()
    expect([before.length, before[0]]).toMatchObject([
      30,
      { route: 'agents-status', from: 'functions', handler: 'agents/status', status: 422, message_id: 'main/p/7/0' },
    ])
    expect((await ask<{ lane: { total: number } }>('GET', `/parked/${before[0]?.id}`)).body.lane.total).toBe(10)
    expect((await ask('POST', '/replays', { filter: {}, plan: true })).body).toMatchObject({
      total: 30,
      routes: { 'agents-status': 30 },
    })

    state.answer = ({ id }) => (id.endsWith('/7') ? 409 : 204)
    runs.length = 0
    const { status: code, body: job } = await ask('POST', '/replays', { filter: {}, rate: 1_000 })
    expect([code, job.state, job.waits_for]).toEqual([202, 'running', 'relay'])
    startRelay()
    await untilDone(detail, job.id)
    const ended = await detail(job.id)
    expect(ended).toMatchObject({
      waits_for: null,
      counts: { waiting: 0, sent: 0, handled: 29, failed_again: 1, skipped: 0 },
    })
    for (const agent of ['a0', 'a1', 'a2'])
      expect(runs.filter(({ reference }) => reference === agent).map(({ id }) => Number(id.split('/').at(-1)))).toEqual(
        Array.from({ length: 10 }, (_, n) => n * 3 + Number(agent[1])),
      )
    expect(new Set(runs.map(({ replay }) => replay))).toEqual(new Set([job.id]))
    expect((await parked()).map(({ reason, replays, replay }) => [reason, replays, replay])).toEqual([
      ['409: fails with 409', 1, null],
    ])
    // Deleted, restored, and replayed once more.
    const id = (await parked())[0]?.id ?? ''
    expect((await ask('POST', '/parked/delete', { ids: [id] })).body).toMatchObject({ moved: 1 })
    expect((await ask('POST', '/bin/restore', { ids: [id] })).body).toMatchObject({ moved: 1 })
    state.answer = () => 204
    const { body: second } = await ask('POST', '/replays', { ids: [id] })
    await untilDone(detail, second.id)
    expect([(await detail(second.id)).counts.handled, await parked()]).toEqual([1, []])
  },
)

test(
  'a message that the server asks to retry blocks only its own lane and counts its attempts; an outage counts none',
  { timeout: 60_000 },
  async () => {
    const { state, runs, deliver, ask, detail, startRelay } = await useReplaysByHttp()
    state.answer = () => 422
    await deliver([status('a', 1), status('a', 2), status('b', 3)])
    runs.length = 0
    state.answer = ({ id, attempt }) => (id.endsWith('/1') && attempt < 2 ? 503 : 204)
    state.status = 500
    const { coded } = startRelay()
    const { body: job } = await ask('POST', '/replays', { filter: {} })
    await waitFor(() => coded('relay.replays.target_unavailable').length > 0, 'the outage to be logged', 30_000)
    expect(runs).toEqual([])
    state.status = undefined
    await untilDone(detail, job.id)
    expect((await detail(job.id)).counts).toMatchObject({ handled: 3, failed_again: 0 })
    expect(runs.map(({ id, attempt }) => `${id.at(-1)} ${attempt}`).filter((run) => !run.startsWith('3'))).toEqual([
      '1 1',
      '1 2',
      '2 1',
    ])
    const at = (wanted: string) => runs.findIndex(({ id, attempt }) => `${id.at(-1)} ${attempt}` === wanted)
    expect(at('3 1')).toBeLessThan(at('1 2'))
    expect(coded('relay.replays.target_available').length).toBe(1)
  },
)

test(
  'an entry that the server rejects for good fails with the reason and stays parked',
  { timeout: 60_000 },
  async () => {
    const { state, deliver, ask, detail, parked, startRelay } = await useReplaysByHttp()
    state.answer = () => 409
    await deliver([status('a', 1)])
    state.status = 413
    startRelay()
    const { body: job } = await ask('POST', '/replays', { filter: {} })
    await untilDone(detail, job.id)
    expect(await detail(job.id)).toMatchObject({
      counts: { failed_again: 1 },
      messages: { items: [{ outcome: 'failed_again', reason: 'the target answered HTTP 413' }] },
    })
    expect(await parked()).toMatchObject([{ replays: 1, replay: null }])
  },
)

test(
  'after a relay is killed in mid-replay, its next start handles the rest and repeats no handled message',
  { timeout: 90_000 },
  async () => {
    const { store, state, runs, url, apiUrl, deliver, ask, detail, startRelay, parked } = await useReplaysByHttp()
    state.answer = () => 422
    await deliver(Array.from({ length: 12 }, (_, n) => status(`a${n}`, n)))
    runs.length = 0
    // The first five are handled. The others get no answer.
    let handled = 0
    state.answer = async () => (++handled <= 5 ? 204 : new Promise<number>(() => {}))
    const { body: job } = await ask('POST', '/replays', { filter: {} })
    const script = new URL('../support/relay-of-replays.ts', import.meta.url).pathname
    const first = spawn(process.execPath, ['--conditions=source', script, apiUrl, OPERATOR, url, PUSH])
    onTestFinished(() => void first.kill('SIGKILL'))
    await waitFor(() => runs.length >= 12, 'all of the round to be on their way', 30_000)
    await waitFor(async () => (await detail(job.id)).counts.handled === 5, 'the first to be handled', 30_000)
    first.kill('SIGKILL')
    await once(first, 'exit')
    state.answer = () => 204
    const ended = new Set(runs.slice(0, 5).map(({ id }) => id))
    runs.length = 0
    // Another relay gets nothing while the first may still be at work. The same relay continues at once.
    const { round }: NextRound = (await ask<NextRound>('POST', '/replays/next', { relay: 'pbx-2' })).body
    expect(round).toBeNull()
    const redelivered: boolean[] = []
    const send = createSend(url, PUSH)
    startRelay('pbx-1', async (message, delivery, signal) => {
      redelivered.push(delivery.isRedelivery)
      return send(message, delivery, signal)
    })
    await untilDone(detail, job.id)
    expect((await detail(job.id)).counts).toMatchObject({ handled: 12, failed_again: 0 })
    expect([await parked(), new Set(redelivered)]).toEqual([[], new Set([true])])
    expect(runs.length).toBe(7)
    expect(runs.filter(({ id }) => ended.has(id))).toEqual([])
    expect((await store.read.agent('a11'))?.states).toMatchObject([{ status: 'busy' }])
  },
)

test('CDRs go to their function again through a relay, with the same ids', { timeout: 60_000 }, async () => {
  const { store, runs, deliver, ask, detail, startRelay } = await useReplaysByHttp()
  const nowMs = Date.now()
  const cdrs = Array.from({ length: 8 }, (_, n) => {
    const { subject: _none, ...one } = notification('7', n, {
      type: 'enigma.campaigns.cdr',
      id: `main/l/${nowMs}/${n}`,
      time: new Date(nowMs).toISOString(),
      transport: 'list',
      channel: 'enigma:notifications:campaigns',
      payload: { ref: '7', call_ref: `c${n}`, dialed_at: Math.floor(nowMs / 1000) - 3_600 + n, end_reason: 'hungup' },
    })
    return one
  })
  await deliver(cdrs)
  const before = runs.splice(0).map(({ id }) => id)
  expect((await store.read.cdrs()).items).toHaveLength(8)
  startRelay()
  const { body: job } = await ask('POST', '/replays', { cdrs: { campaign: '7' }, route: 'campaigns-cdr', rate: 3 })
  await untilDone(detail, job.id)
  expect((await detail(job.id)).counts).toMatchObject({ handled: 8, failed_again: 0 })
  expect(runs.map(({ id }) => id).toSorted()).toEqual(before.toSorted())
  expect(new Set(runs.map(({ replay }) => replay))).toEqual(new Set([job.id]))
})

test(
  'a relay continues after its replay is stopped, and unfinished messages stay parked',
  { timeout: 60_000 },
  async () => {
    const { state, runs, deliver, ask, detail, parked, startRelay } = await useReplaysByHttp()
    state.answer = () => 422
    await deliver([status('a', 1), status('a', 2)])
    runs.length = 0
    state.answer = async () => new Promise<number>(() => {})
    const { coded } = startRelay('pbx-1', undefined, { reportMs: 50 })
    const { body: job } = await ask('POST', '/replays', { filter: {} })
    await waitFor(() => runs.length === 1, 'the first to be sent', 30_000)
    expect((await ask('POST', `/replays/${job.id}/stop`)).body.state).toBe('stopped')
    await waitFor(() => coded('relay.replays.taken_over').length === 1, 'the relay to let go of it', 30_000)
    expect((await parked()).length).toBe(2)
    state.answer = () => 204
    const { body: second } = await ask('POST', '/replays', { filter: {} })
    await untilDone(detail, second.id)
    expect([(await detail(second.id)).counts.handled, await parked()]).toEqual([2, []])
  },
)
