import { expect, onTestFinished, test } from 'vitest'
import { type Route } from '../../../src/protocol/index.ts'
import type { PubsubIntake } from '../../../src/relay/pubsub/pubsub-intake.ts'
import { createMetrics } from '../../../src/relay/metrics.ts'
import { createReadiness } from '../../../src/relay/health/readiness.ts'
import type { Sender } from '../../../src/relay/sender/sender.ts'
import type { Source } from '../../../src/relay/source.ts'
import { captureLog } from '../../support/log.ts'
import { waitFor } from '../../support/relay.ts'
import { ROUTES } from '../../support/routes.ts'

/** Creates the readiness of a relay with one route. The test plays the part of SQS. */
function useReadiness(askSqs: () => Promise<void>, sources: readonly Source[] = []) {
  const clock = { nowMs: 1_764_000_000_000 }
  const sender = {
    kind: 'sqs' as const,
    address: 'http://queue',
    status: { lastAnsweredMs: undefined as number | undefined, failingSince: undefined },
    held: 0,
    progressMs: clock.nowMs,
    inFlight: 0,
  }
  const capture = captureLog()
  const metrics = createMetrics()
  const readiness = createReadiness({
    senders: new Map([[ROUTES.all[0] as Route, sender as unknown as Sender]]),
    sources,
    intake: { brokenSince: undefined } as PubsubIntake,
    channels: [],
    metrics,
    log: capture.log,
    now: () => clock.nowMs,
    askSqs,
  })
  const watch = () => {
    const abort = new AbortController()
    const done = readiness.run(abort.signal)
    onTestFinished(async () => {
      abort.abort()
      await done
    })
  }
  return {
    readiness,
    clock,
    sender,
    watch,
    coded: capture.coded,
    isReady: async () => (await metrics.ready.get()).values[0]?.value,
  }
}

test('the metric and the log show that SQS is gone without a request to /readyz and with nothing to send', async () => {
  let isGone = false
  const { readiness, clock, watch, coded, isReady } = useReadiness(() =>
    isGone ? Promise.reject(new Error('gone')) : Promise.resolve(),
  )
  await readiness.ask()
  expect(await isReady()).toBe(1)
  watch()
  isGone = true
  clock.nowMs += 11_000
  await waitFor(async () => (await isReady()) === 0, 'the metric to tell')
  expect(coded('relay.ready.no')).toMatchObject([{ parts: { sqs: 'SQS does not answer' } }])
  isGone = false
  await waitFor(async () => (await isReady()) === 1, 'the metric to tell')
})

test('a past SQS outage does not make the relay not ready later, while it waits for an answer from SQS', async () => {
  let asked = 0
  const { readiness, clock, sender, watch, coded, isReady } = useReadiness(() => {
    asked++
    return asked === 1 ? Promise.reject(new Error('gone')) : new Promise(() => undefined)
  })
  expect(await readiness.ask()).toMatchObject({ ok: false, parts: { sqs: { ok: false } } })
  sender.status.lastAnsweredMs = clock.nowMs
  expect(await readiness.ask()).toMatchObject({ ok: true })
  clock.nowMs += 11_000
  watch()
  await waitFor(() => asked === 2, 'SQS to be asked')
  expect(await isReady()).toBe(1)
  expect(coded('relay.ready.no')).toEqual([])
})

test('a failing search for leftover claims makes the relay not ready after ten seconds, with the reason', async () => {
  const lists = { leased: true, lists: new Map(), searchFailure: undefined as unknown }
  const state = { answered: 0, pubsub: {}, lists }
  const { readiness, clock } = useReadiness(() => Promise.resolve(), [{ id: 'main', state } as unknown as Source])
  const look = async (afterMs: number) => {
    clock.nowMs += afterMs
    state.answered = clock.nowMs
    return readiness.ask()
  }
  expect((await look(0)).ok).toBe(true)
  lists.searchFailure = { sinceMs: clock.nowMs, reason: 'NOPERM' }
  expect((await look(9_000)).ok).toBe(true)
  expect((await look(2_000)).parts['claims:main']).toMatchObject({
    ok: false,
    reason: expect.stringContaining('NOPERM') as string,
  })
  lists.searchFailure = undefined
  expect((await look(0)).ok).toBe(true)
})
