import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLane, hasWork, moveLane, takeWaiting } from '../../../src/relay/sender/lane.ts'
import { createAcknowledger, makeItem } from '../../support/items.ts'

const { acknowledger } = createAcknowledger()
const items = Array.from({ length: 3_000 }, (_, n) => makeItem(acknowledger, '1002', n))

test('a lane returns each item once and in order, however many are taken at a time', () => {
  const step = fc.oneof(
    fc.record({ put: fc.integer({ min: 1, max: 400 }) }),
    fc.record({ take: fc.integer({ min: 1, max: 200 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const lane = createLane('0')
      const taken: number[] = []
      let put = 0
      for (const next of steps) {
        if ('put' in next)
          for (let n = 0; n < next.put && put < items.length; n++)
            lane.waiting.push(items[put++] as (typeof items)[number])
        else
          taken.push(
            ...takeWaiting(lane, Math.min(next.take, lane.waiting.length - lane.head)).map((item) => item.position),
          )
        expect(hasWork(lane)).toBe(taken.length < put)
      }
      expect(taken).toEqual(Array.from({ length: taken.length }, (_, n) => n))
    }),
    { numRuns: 60 },
  )
})

test('a lane goes from idle to ready to busy, and then back to ready or idle; any other change throws', () => {
  const lane = createLane('7')
  expect(() => moveLane(lane, 'busy')).toThrow('lane 7 cannot go from idle to busy')
  for (const state of ['ready', 'busy', 'ready', 'busy', 'idle'] as const) moveLane(lane, state)
  expect(lane.state).toBe('idle')
  moveLane(lane, 'ready')
  expect(() => moveLane(lane, 'ready')).toThrow(TypeError)
  expect(() => moveLane(lane, 'idle')).toThrow(TypeError)
})
