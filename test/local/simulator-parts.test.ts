import fc from 'fast-check'
import { expect, test } from 'vitest'
import { subscriberAt, toDialNumber } from '../../src/simulator/centre.ts'
import { createRandom } from '../../src/simulator/random.ts'
import { createTimetable } from '../../src/simulator/schedule.ts'
import { createPace } from '../../src/simulator/simulator.ts'

test('tasks run in the order of their time, and those of one instant in the order in which they were set', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { maxLength: 200 }), (times) => {
      const timetable = createTimetable()
      const ran: [number, number][] = []
      for (const [at, ms] of times.entries()) timetable.after(ms, () => ran.push([timetable.now(), at]))
      while (timetable.step());
      expect(ran).toEqual(times.map((ms, at) => [ms, at]).toSorted(([a = 0, x = 0], [b = 0, y = 0]) => a - b || x - y))
    }),
  )
})

test('a task may set others, none of them before itself', () => {
  const timetable = createTimetable()
  const ran: number[] = []
  timetable.after(10, () => {
    timetable.after(-5, () => ran.push(timetable.now()))
    timetable.after(5, () => ran.push(timetable.now()))
  })
  timetable.after(12, () => ran.push(timetable.now()))
  while (timetable.step());
  expect(ran).toEqual([10, 12, 15])
})

test('a seed always gives the same numbers, near seeds give others, and they fill their range evenly', () => {
  const draw = (seed: number) => Array.from({ length: 10_000 }, createRandom(seed).next)
  expect(draw(7)).toEqual(draw(7))
  const seeds = [0, 1, 2, -1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]
  expect(new Set(seeds.map((seed) => draw(seed)[0])).size).toBe(seeds.length)
  for (const seed of seeds) {
    const tenths = Map.groupBy(draw(seed), (number) => Math.floor(number * 10))
    expect(tenths.size).toBe(10)
    for (const numbers of tenths.values()) expect(Math.abs(numbers.length - 1_000)).toBeLessThan(150)
  }
})

test('whole numbers reach both ends, and a skewed one has the median asked for', () => {
  const random = createRandom(3)
  expect(new Set(Array.from({ length: 200 }, () => random.whole(2, 4)))).toEqual(new Set([2, 3, 4]))
  const skewed = Array.from({ length: 9_999 }, () => random.skewed(50, 0.9, 240)).toSorted((a, b) => a - b)
  expect(skewed[4_999]).toBeGreaterThan(46)
  expect(skewed[4_999]).toBeLessThan(54)
  expect(skewed.at(-1)).toBeLessThanOrEqual(240)
})

test('a subscriber is the same each time, and no two of a list share a contact', () => {
  const list = Array.from({ length: 5_000 }, (_, place) => subscriberAt(2, place))
  expect(list).toEqual(Array.from({ length: 5_000 }, (_, place) => subscriberAt(2, place)))
  expect(new Set(list.map(({ contactRef }) => contactRef)).size).toBe(5_000)
  for (const { numbers } of list) for (const number of numbers) expect(number).toMatch(/^2782\d{7}$/)
  expect(toDialNumber('27821234567')).toBe('0821234567')
})

test('virtual time runs at the speed, and after a stall at three times the speed until it has caught up', () => {
  let clock = 1_000
  const pace = createPace({ speed: 2, now: () => clock })
  const lookAfter = (ms: number) => {
    clock += ms
    return pace.advance()
  }
  expect(lookAfter(0)).toBe(0)
  expect(lookAfter(10)).toBe(20)
  expect(lookAfter(50)).toBe(120)
  expect(pace.waitMs(160)).toBe(20)
  // After a second without a call, one call advances by at most 300 ms.
  expect(lookAfter(1_000)).toBe(120 + 300)
  expect(lookAfter(50)).toBe(420 + 300)
  let looks = 0
  while (lookAfter(50) < (clock - 1_000) * 2) looks++
  expect(looks).toBeLessThan(20)
  expect(lookAfter(50)).toBe((clock - 1_000) * 2)
})
