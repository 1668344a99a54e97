import { expect, test } from 'vitest'
import { createLiveness } from '../../../src/relay/pubsub/subscription.ts'

/** A watch over a subscription whose seconds the test counts, and whose connection answers as the test says. */
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
  /** Lets seconds go by, each with what `each` makes happen. Returns after how many it was lost; undefined when it was not. */
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

test('while heartbeats are heard the connection is not asked', async () => {
  const { state, liveness, pass } = useLiveness()
  expect(await pass(60, (at) => liveness.heard(at))).toBeUndefined()
  expect(state.asked).toBe(0)
})

test('a subscription that answers is alive for as long as the connection for commands hangs, and is heard up to each question', async () => {
  const { state, pass } = useLiveness()
  expect(await pass(60)).toBeUndefined()
  expect(state.answered.at(-1)).toBe(60_000)
})

test('a server that refuses PING on a subscribed connection has answered', async () => {
  const { state, pass } = useLiveness()
  state.refuses = true
  expect(await pass(60)).toBeUndefined()
})

test('a connection on which nothing arrives is lost after five seconds, whatever the one for commands does', async () => {
  const { state, liveness, pass } = useLiveness()
  liveness.heard(1)
  state.answers = false
  expect(await pass(60)).toBe(6)
})

test('a connection that delivers notifications is not lost while the answer to a question waits behind them', async () => {
  const { state, liveness, pass } = useLiveness()
  state.answers = false
  expect(await pass(30, () => liveness.arrived())).toBeUndefined()
})

test('a connection that answers, but does not deliver what the server has published, is lost', async () => {
  const { liveness, pass } = useLiveness()
  liveness.heard(1)
  expect(await pass(60, (at) => liveness.published(at))).toBe(6)
})

test('a heartbeat that was heard before its answer came makes nothing deaf', async () => {
  const { liveness, pass } = useLiveness()
  const hear = (at: number) => {
    liveness.heard(at)
    liveness.published(at)
  }
  expect(await pass(3, hear)).toBeUndefined()
  expect(await pass(60)).toBeUndefined()
})

test('a process that stood still takes nothing for dead that it could not read', async () => {
  const { state, liveness, pass } = useLiveness()
  state.at += 60_000
  liveness.noteStandstill(59_000)
  state.answers = false
  expect(await pass(3)).toBeUndefined()
})
