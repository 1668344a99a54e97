import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLanes, hasWork, takeWaiting, type Lane } from '../../../src/relay/sender/lane.ts'
import { createKeeper, makeItem } from '../../support/items.ts'

const { keeper } = createKeeper()
const items = Array.from({ length: 3_000 }, (_, n) => makeItem(keeper, '1002', n))

test('a lane gives out what was put in, in order and once, however it is taken', () => {
  const step = fc.oneof(
    fc.record({ put: fc.integer({ min: 1, max: 400 }) }),
    fc.record({ take: fc.integer({ min: 1, max: 200 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const [lane] = createLanes(1) as [Lane]
      const taken: number[] = []
      let put = 0
      for (const next of steps) {
        if ('put' in next)
          for (let n = 0; n < next.put && put < items.length; n++)
            lane.waiting.push(items[put++] as (typeof items)[number])
        else
          taken.push(
            ...takeWaiting(lane, Math.min(next.take, lane.waiting.length - lane.head)).map((item) => item.place),
          )
        expect(hasWork(lane)).toBe(taken.length < put)
      }
      expect(taken).toEqual(Array.from({ length: taken.length }, (_, n) => n))
    }),
    { numRuns: 60 },
  )
})

test('the message group of a lane is its number', () => {
  expect(createLanes(3).map((lane) => lane.group)).toEqual(['0', '1', '2'])
})
