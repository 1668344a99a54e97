import { expect, test } from 'vitest'
import { createLiveness } from '../../../src/relay/pubsub/subscription.ts'

/** The liveness check of a subscription, with a clock and a connection that the test controls. */
function useLiveness() {
  const state = { at: 0, answers: true, refuses: false, asked: 0, answered: [] as number[] }
  const liveness = createLiveness({
    ping: () => {
      state.asked++
      if (state.refuses) return Promise.reject(new Error('ERR only (P)SUBSCRIBE / (P)UNSUBSCRIBE / QUIT allowed'))
      return state.answers ? Promise.resolve('PONG') : new Promise(() => undefined)
    },
    isReady: () => true,
    onAnswer: (askedMs) => state.answered.push(askedMs),
    now: () => state.at,
    clock: () => state.at,
  })
  /** Lets seconds pass and calls `each` in each one. Returns the second in which the connection was lost, else undefined. */
  const pass = async (seconds: number, each: (at: number) => void = () => undefined) => {
    for (let second = 1; second <= seconds; second++) {
      state.at += 1_000
      each(state.at)
      try {
        liveness.check()
      } catch {
        return second
      }
      await Promise.resolve().then(() => undefined)
      await new Promise(setImmediate)
    }
    return undefined
  }
  return { state, liveness, pass }
}

test('while heartbeats are received the connection is not pinged', async () => {
  const { state, liveness, pass } = useLiveness()
  expect(await pass(60, (at) => liveness.heard(at))).toBeUndefined()
  expect(state.asked).toBe(0)
})

test('a subscription without heartbeats stays alive while it answers pings, and counts as heard up to the last ping', async () => {
  const { state, pass } = useLiveness()
  expect(await pass(60)).toBeUndefined()
  expect(state.answered.at(-1)).toBe(60_000)
})

test('a server that refuses PING on a subscribed connection has answered', async () => {
  const { state, pass } = useLiveness()
  state.refuses = true
  expect(await pass(60)).toBeUndefined()
})

test('a connection on which nothing arrives is lost after five seconds', async () => {
  const { state, liveness, pass } = useLiveness()
  liveness.heard(1)
  state.answers = false
  expect(await pass(60)).toBe(6)
})

test('a connection that delivers notifications is not lost while the answer to a ping waits behind them', async () => {
  const { state, liveness, pass } = useLiveness()
  state.answers = false
  expect(await pass(30, () => liveness.arrived())).toBeUndefined()
})

test('a connection that answers, but does not deliver what the server has published, is lost', async () => {
  const { liveness, pass } = useLiveness()
  liveness.heard(1)
  expect(await pass(60, (at) => liveness.published(at))).toBe(6)
})

test('a heartbeat received before the reply to its publication does not make the connection lost', async () => {
  const { liveness, pass } = useLiveness()
  const hear = (at: number) => {
    liveness.heard(at)
    liveness.published(at)
  }
  expect(await pass(3, hear)).toBeUndefined()
  expect(await pass(60)).toBeUndefined()
})

test('a process that stood still does not count that time as silence of the connection', async () => {
  const { state, liveness, pass } = useLiveness()
  state.at += 60_000
  liveness.noteStandstill(59_000)
  state.answers = false
  expect(await pass(3)).toBeUndefined()
})
