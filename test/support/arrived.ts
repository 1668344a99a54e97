import { expect } from 'vitest'
import type { Notification, RelayGap } from '../../src/protocol/index.ts'
import { readAccepted } from './accepted.ts'
import { firstArrivals, toNumbered } from './collect.ts'
import type { Published } from './load.ts'
import { isInOrder } from './sender.ts'
import type { useSqsFaults } from './sqs-faults.ts'

/** The notifications that SQS accepted for a route, with copies, in the order of each group. */
export const arrivedAt = (sqs: Awaited<ReturnType<typeof useSqsFaults>>, route: string): Promise<Notification[]> =>
  readAccepted(sqs, `enigma-${route}.fifo`)

/** Asserts ids and order (G1 to G3): all copies of a notification have one id, no two notifications share one, and references are in order. */
export function expectOrderAndIds(events: readonly Notification[]): void {
  const idsOf = new Map<number, Set<string>>()
  for (const { n, id } of events.map(toNumbered)) idsOf.set(n, (idsOf.get(n) ?? new Set()).add(id))
  expect([...idsOf].filter(([, ids]) => ids.size > 1).map(([n]) => n)).toEqual([])
  const numbersOf = new Map<string, Set<number>>()
  for (const { n, id } of events.map(toNumbered)) numbersOf.set(id, (numbersOf.get(id) ?? new Set()).add(n))
  expect([...numbersOf].filter(([, numbers]) => numbers.size > 1).map(([id]) => id)).toEqual([])
  expect(isInOrder(firstArrivals(events))).toBe(true)
}

/** Asserts that the numbers 0 … count - 1 all arrived. */
export function expectAll(events: readonly Notification[], count: number): void {
  const numbers = new Set(events.map((event) => toNumbered(event).n))
  expect(Array.from({ length: count }, (_, n) => n).filter((n) => !numbers.has(n))).toEqual([])
  expect(numbers.size).toBe(count)
}

/** Returns the gaps that were announced to SQS, with their times in unix ms. */
export async function gapsOf(sqs: Awaited<ReturnType<typeof useSqsFaults>>) {
  const events = await arrivedAt(sqs, 'relay-gap')
  return events.map((event) => {
    const { payload } = JSON.parse(String(event.data)) as { payload: RelayGap }
    return { ...payload, sequence: event.sequence, fromMs: Date.parse(payload.from), toMs: Date.parse(payload.to) }
  })
}

/** Asserts G2: each published number arrived, or was published within an announced gap. */
export async function expectHeardOrAnnounced(
  sqs: Awaited<ReturnType<typeof useSqsFaults>>,
  published: readonly Published[],
): Promise<void> {
  const arrived = new Set((await arrivedAt(sqs, 'agents-status')).map((event) => toNumbered(event).n))
  const gaps = await gapsOf(sqs)
  const silent = published
    .map((one, n) => ({ n, ...one }))
    .filter(
      ({ n, taken, fromMs, toMs }) =>
        taken && !arrived.has(n) && !gaps.some((gap) => gap.fromMs <= toMs && gap.toMs >= fromMs),
    )
  expect(silent).toEqual([])
}
