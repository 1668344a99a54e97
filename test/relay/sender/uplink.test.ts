import { expect, onTestFinished, test, vi } from 'vitest'
import { createUplink, type Shipment } from '../../../src/relay/sender/uplink.ts'
import { captureLog } from '../../support/log.ts'

const KIB = 1024

/** Sends whatever may be sent for a while over an uplink of this rate (bytes/ms) and an SQS with this latency (ms), on a clock of its own. */
function simulate(options: {
  rate: (atMs: number) => number
  latencyMs: number
  untilMs: number
  largest?: number
  isWork?: boolean
}) {
  const { rate, latencyMs, untilMs, largest = 640 * KIB, isWork = false } = options
  let nowMs = 0
  const { log, coded } = captureLog()
  const uplink = createUplink({ now: () => nowMs, log })
  const later = () => undefined
  const pending: { shipment: Shipment; sentMs: number; answerMs: number; bytes: number }[] = []
  let freeMs = 0
  let sent = 0
  const spans: number[] = []
  while (nowMs < untilMs) {
    while (pending.length < 4 && uplink.mayShip(later)) {
      const bytes = Math.min(uplink.requestBytes, largest)
      freeMs = Math.max(freeMs, nowMs) + (bytes + KIB) / rate(nowMs)
      pending.push({ shipment: uplink.ship(bytes, isWork), sentMs: nowMs, answerMs: freeMs + latencyMs, bytes })
    }
    const [next] = pending.splice(0, 1)
    if (next === undefined) throw new Error('nothing is on the way, and nothing may be sent')
    nowMs = next.answerMs
    sent += next.bytes
    spans.push(nowMs - next.sentMs)
    uplink.arrive(next.shipment, 'answered')
  }
  return { sent, uplink, coded, last: spans.at(-1) ?? 0, slowest: Math.max(...spans) }
}

test.each([
  [50, 30],
  [50, 300],
  [100, 30],
  [10, 30],
  [1_000, 50],
])(
  'an uplink of %i kB/s with a latency of %i ms is used to 90 percent (80 at 10 kB/s), and no request takes more than 3.4 s',
  (rate, latencyMs) => {
    const { sent, slowest } = simulate({ rate: () => rate, latencyMs, untilMs: 60_000 })
    expect(sent / (rate * 60_000)).toBeGreaterThan(rate === 10 ? 0.8 : 0.9)
    expect(slowest).toBeLessThan(3_400)
  },
)

test('on a fast uplink requests grow large within four round trips, whatever the latency of SQS', () => {
  for (const latencyMs of [2, 50, 400]) {
    const { uplink } = simulate({ rate: () => 50_000, latencyMs, untilMs: 4 * latencyMs })
    expect(uplink.requestBytes).toBeGreaterThan(latencyMs === 400 ? 40 * KIB : 300 * KIB)
  }
})

test('the rate follows an uplink that becomes ten times slower, and one that becomes a hundred times faster', () => {
  const slow = simulate({ rate: (atMs) => (atMs < 10_000 ? 1_000 : 100), latencyMs: 30, untilMs: 60_000 })
  expect(slow.last).toBeLessThan(2_500)
  expect(slow.uplink.bytesPerSecond).toBeLessThan(150_000)
  const fast = simulate({ rate: (atMs) => (atMs < 30_000 ? 50 : 5_000), latencyMs: 30, untilMs: 40_000 })
  expect(fast.uplink.bytesPerSecond).toBeGreaterThan(1_000_000)
})

test('requests that time out make the next ones smaller, several of one moment only once, down to 7 KiB', () => {
  let nowMs = 0
  const uplink = createUplink({ now: () => nowMs, limitMs: 10_000 })
  const ship = (bytes: number) => uplink.ship(bytes)
  const fast = ship(600 * KIB)
  nowMs = 10
  uplink.arrive(fast, 'answered')
  const all = [ship(600 * KIB), ship(600 * KIB), ship(600 * KIB), ship(600 * KIB)]
  nowMs += 10_000
  for (const one of all) uplink.arrive(one, 'late')
  // The uplink may be this slow: 600 KiB in ten seconds.
  expect(uplink.bytesPerSecond).toBeGreaterThan(25_000)
  expect(uplink.bytesPerSecond).toBeLessThan(65_000)
  for (let n = 0; n < 10; n++) {
    const one = ship(uplink.requestBytes)
    nowMs += 60_000
    uplink.arrive(one, 'late')
  }
  expect(uplink.requestBytes).toBe(7 * KIB)
})

test('the limit of a request follows its size and the rate: a large notification on a slow uplink is not aborted', () => {
  const { uplink } = simulate({ rate: () => 50, latencyMs: 30, untilMs: 20_000 })
  const ahead = 1024 * KIB
  expect(uplink.limitMs({ ahead })).toBeGreaterThan((2 * ahead) / 50)
  expect(createUplink({ limitMs: 100 }).limitMs({ ahead: 1 })).toBe(101)
})

test('routes take turns in the order in which they asked; one that leaves, or sends nothing, does not block the others', () => {
  let nowMs = 0
  const uplink = createUplink({ now: () => nowMs })
  const woken: string[] = []
  const [a, b, c] = ['a', 'b', 'c'].map((name) => () => void woken.push(name)) as [() => void, () => void, () => void]
  const full = [uplink.ship(20 * KIB), uplink.ship(20 * KIB)]
  expect([a, b, c].map((later) => uplink.mayShip(later))).toEqual([false, false, false])
  nowMs = 2_000
  for (const one of full) uplink.arrive(one, 'failed')
  expect(new Set(woken)).toEqual(new Set(['a']))
  // Not before its turn.
  expect([uplink.mayShip(b), uplink.mayShip(a)]).toEqual([false, true])
  uplink.withdraw(a)
  expect(woken.at(-1)).toBe('b')
  uplink.withdraw(b)
  expect(woken.at(-1)).toBe('c')
  expect(uplink.mayShip(c)).toBe(true)
})

test.each([2_000, 3_000, 5_000])('functions that take %i ms make no request smaller', (latencyMs) => {
  const { uplink } = simulate({ rate: () => 50_000, latencyMs, untilMs: 120_000, isWork: true })
  expect(uplink.requestBytes).toBeGreaterThan(200 * KIB)
  // SQS only stores messages, so a slow answer there must be due to the uplink.
  const toSqs = simulate({ rate: () => 50_000, latencyMs, untilMs: 120_000 })
  expect(toSqs.uplink.requestBytes).toBeLessThan(20 * KIB)
})

test('more than 90 percent of a slow uplink to functions is used, and no request takes more than 8 s', () => {
  const { sent, slowest } = simulate({ rate: () => 50, latencyMs: 30, untilMs: 120_000, isWork: true })
  expect(sent / (50 * 120_000)).toBeGreaterThan(0.9)
  expect(slowest).toBeLessThan(8_000)
})

test('a request that functions have not answered after four horizons leaves the window once, and wakes the waiting route', () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const uplink = createUplink()
  const wake = vi.fn<() => void>()
  const hung = [uplink.ship(20 * KIB, true), uplink.ship(20 * KIB, true)]
  expect(uplink.mayShip(wake)).toBe(false)
  vi.advanceTimersByTime(5_999)
  expect(wake).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(wake).toHaveBeenCalled()
  expect(uplink.mayShip(wake)).toBe(true)
  for (const one of hung) uplink.arrive(one, 'failed')
  uplink.ship(20 * KIB)
  uplink.ship(20 * KIB)
  expect(uplink.mayShip(wake)).toBe(false)
})

test.each([false, true])(
  'a full uplink is logged once in ten minutes, to a target that runs functions: %s',
  (isWork) => {
    const onFull = (untilMs: number) =>
      simulate({ rate: () => 50, latencyMs: 30, untilMs, isWork }).coded('relay.uplink.full')
    expect(onFull(120_000)).toMatchObject([{ bytesPerSecond: expect.any(Number) as number }])
    expect(onFull(660_000)).toHaveLength(2)
    expect(
      simulate({ rate: () => 50_000, latencyMs: 30, untilMs: 120_000, isWork }).coded('relay.uplink.full'),
    ).toEqual([])
  },
)
