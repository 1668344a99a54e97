import { expect, test } from 'vitest'
import { msToBeat, sleep } from '../../src/runtime/index.ts'

const HOUR_MS = 3_600_000

test('a sleep ends without an error as soon as its signal aborts', async () => {
  const abort = new AbortController()
  const sleeping = sleep(HOUR_MS, abort.signal)
  abort.abort()
  await expect(sleeping).resolves.toBeUndefined()
})

test('a sleep whose signal was aborted before does not begin', async () => {
  await expect(sleep(HOUR_MS, AbortSignal.abort())).resolves.toBeUndefined()
})

test('a sleep that is over leaves no listener on its signal', async () => {
  const { signal } = new AbortController()
  let listeners = 0
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++
    add(...args)
  }
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--
    remove(...args)
  }
  await sleep(1, signal)
  expect(listeners).toBe(0)
})

test('the next beat is at a multiple of the interval, half to one and a half intervals away', () => {
  // A timer may fire a little early; its beat must not happen twice.
  for (const nowMs of [0, 1, 499, 500, 501, 999, 999.5, 1_000, 1_000.5, 123_456.7]) {
    const ms = msToBeat(1_000, nowMs)
    expect(ms).toBeGreaterThanOrEqual(500)
    expect(ms).toBeLessThanOrEqual(1_500)
    expect((nowMs + ms) % 1_000).toBeCloseTo(0)
  }
})
