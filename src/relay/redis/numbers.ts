import { hash } from 'node:crypto'
import { maskText } from '../../protocol/index.ts'
import type { SourceTools } from '../source.ts'
import type { Redis } from './client.ts'
import { DAMAGED_NUMBER_KEY, NUMBER_KEY } from './keys.ts'

/** No clock exceeds this (ms) in the next 30,000 years, and a double counts well beyond it: a larger number is not ours. */
const MOST = 1e15

export const isNumber = (number: number): boolean => Number.isInteger(number) && number >= 0 && number < MOST

type NumbersOptions = {
  readonly client: Redis
  readonly now: () => number
  readonly last?: number | undefined
  /** Called with each number that is higher than all before it. */
  readonly onSeen?: (number: number) => void
}

/**
 * Makes the numbers of claims, epochs and notices. A script in Redis gives them out, since Redis knows the last one. `least` is for a Redis
 * that came back empty while the clock was set back: no number that was ever seen here comes again. Nor does it repeat itself: a read-only
 * replica keeps no number, and would give out the same one twice within a millisecond.
 */
export function createNumbers({ client, now, last = 0, onSeen }: NumbersOptions) {
  let highest = isNumber(last) ? last : 0
  let asked = 0
  const least = (): number => (asked = Math.max(now(), highest + 1, asked + 1))
  const seen = (number: number): void => {
    if (number <= highest || !isNumber(number)) return
    highest = number
    onSeen?.(number)
  }
  return {
    least,
    seen,
    /** Makes a number that nothing else of the source has. @throws what Redis answers */
    next: async (): Promise<number> => {
      const number = await client.nextNumber({ leastNumber: least() })
      seen(number)
      return number
    },
  }
}

export type Numbers = ReturnType<typeof createNumbers>

/**
 * Where the index begins in what a relay numbers by itself: apart from that of others, which may have the same number where Redis keeps
 * none. The same name (a relay id, and its journal) has the same.
 */
export const ownIndex = (name: string): number => 1 + (hash('sha256', name, 'buffer').readUInt32BE() % 1_000_000_000)

/**
 * Where the index begins in notices that a relay numbers without Redis: those numbers are the relay's own, and Redis may give out the same
 * ones to it at the same time.
 */
export const unaskedIndex = (own: number): number => own + 1_000_000_000

/** Reports once that the counter in Redis was no number, and was repaired. @throws what Redis answers */
export async function reportDamage({ client, sourceId, log, metrics }: Omit<SourceTools, 'now'>): Promise<void> {
  const value = await client.get(DAMAGED_NUMBER_KEY)
  // Several relays see it: the one whose deletion counts reports it.
  if (value === null || (await client.del(DAMAGED_NUMBER_KEY)) === 0) return
  metrics.numberRepairs.inc({ source: sourceId })
  log.error(
    { code: 'relay.number.repaired', source: sourceId, key: NUMBER_KEY, value: maskText(value) },
    'The counter of claims and epochs in Redis was not a number that a relay wrote; the relay continues from the clock, and no id repeats',
  )
}
