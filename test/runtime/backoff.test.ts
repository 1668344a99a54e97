import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoffMs } from '../../src/runtime/index.ts'

const most = 1 - Number.EPSILON

test('the bound of the wait doubles with each failure, up to the longest', () => {
  const waits = [1, 2, 3, 4, 5, 6, 7].map((failures) => Math.round(backoffMs(failures, { random: () => most })))
  expect(waits).toEqual([100, 200, 400, 800, 1_600, 2_000, 2_000])
})

test('a wait is never shorter than 10 ms and never longer than the longest, also after a million failures', () => {
  const random = fc.double({ min: 0, max: most, noNaN: true })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000_000 }),
      random,
      fc.integer({ min: 10, max: 60_000 }),
      (failures, part, maxMs) => {
        const wait = backoffMs(failures, { maxMs, random: () => part })
        expect(wait).toBeGreaterThanOrEqual(10)
        expect(wait).toBeLessThanOrEqual(maxMs)
      },
    ),
  )
})

test('the jitter is full: the smallest random number gives the shortest wait', () => {
  expect(backoffMs(5, { random: () => 0 })).toBe(10)
})
