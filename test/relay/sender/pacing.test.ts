import { expect, onTestFinished, test, vi } from 'vitest'

import { createPacing } from '../../../src/relay/sender/back-pressure.ts'
import { routeOf, ROUTES } from '../../support/routes.ts'

/** A pacing of 4 ms with a clock that the test controls. */
function usePacing(paceMs = 4, lingerMs = 0) {
  vi.useFakeTimers({ now: 0 })
  onTestFinished(() => void vi.useRealTimers())
  const due = vi.fn<() => void>()
  const pacing = createPacing({ paceMs, lingerMs, onDue: due, clock: () => Date.now() })
  /** Adds notifications at this rate for one second. */
  const load = (perSecond: number) => {
    for (let ms = 0; ms < 1_000; ms += 10) {
      for (let n = 0; n < perSecond / 100; n++) pacing.noteArrival()
      vi.advanceTimersByTime(10)
    }
  }
  return { pacing, due, load }
}

test('a route with few notifications is never held back', () => {
  const { pacing, load } = usePacing()
  load(900)
  pacing.noteRequest()
  expect(pacing.holdsBack(0)).toBe(false)
})

test('a busy route is held back until 4 ms after its last request, and is then woken once', () => {
  const { pacing, due, load } = usePacing()
  load(2_000)
  pacing.noteRequest()
  vi.advanceTimersByTime(1)
  expect([pacing.holdsBack(0), pacing.holdsBack(0)]).toEqual([true, true])
  vi.advanceTimersByTime(2)
  expect([pacing.holdsBack(0), due.mock.calls.length]).toEqual([true, 0])
  vi.advanceTimersByTime(1)
  expect([pacing.holdsBack(0), due.mock.calls.length]).toEqual([false, 1])
})

test('a route whose load rises is held back after 20 ms', () => {
  const { pacing, load } = usePacing()
  load(100)
  for (let ms = 0; ms <= 20; ms++) {
    for (let n = 0; n < 5; n++) pacing.noteArrival()
    vi.advanceTimersByTime(1)
  }
  pacing.noteRequest()
  expect(pacing.holdsBack(0)).toBe(true)
})

test('a route that was busy is no longer held back when few notifications arrive', () => {
  const { pacing, load } = usePacing()
  load(5_000)
  load(100)
  pacing.noteRequest()
  expect(pacing.holdsBack(0)).toBe(false)
})

test('a route that lingers is held back until its oldest notification has waited for that time, even if the clock was set back', () => {
  const { pacing, due } = usePacing(4, 100)
  expect([pacing.holdsBack(30), pacing.holdsBack(30)]).toEqual([true, true])
  vi.advanceTimersByTime(69)
  expect(due).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect([due.mock.calls.length, pacing.holdsBack(100)]).toEqual([1, false])
  // Received in the future: the clock was set back.
  expect(pacing.holdsBack(-3_600_000)).toBe(true)
  vi.advanceTimersByTime(100)
  expect(due).toHaveBeenCalledTimes(2)
})

test('calls are never held back, however many there are', () => {
  const { pacing, load } = usePacing(routeOf('agents', 'call').paceMs)
  load(10_000)
  pacing.noteRequest()
  expect(pacing.holdsBack(0)).toBe(false)
  expect(ROUTES.all.filter(({ paceMs }) => paceMs === 0).map(({ name }) => name)).toEqual([
    'agents-call',
    'inbound-call',
  ])
})

test('during an outage a route sends one request after each rest of at most half a second, until the rests end', () => {
  const { pacing, due } = usePacing(0)
  pacing.rest()
  let sent = 0
  for (let ms = 0; ms < 10_000; ms += 10) {
    if (!pacing.isResting()) {
      pacing.noteRequest()
      sent++
      expect(pacing.isResting()).toBe(true)
    }
    vi.advanceTimersByTime(10)
  }
  // Rests are drawn at random, from 10 ms to the longest one.
  expect(sent).toBeGreaterThanOrEqual(20)
  expect(sent).toBeLessThan(200)
  // The route is woken for each request.
  expect(due.mock.calls.length).toBeGreaterThanOrEqual(sent - 1)
  pacing.endRest()
  expect(pacing.isResting()).toBe(false)
  pacing.noteRequest()
  expect(pacing.isResting()).toBe(false)
})
