import { backoffMs, sleep } from '../runtime/index.ts'
import { NUMBER_KEY } from './keys.ts'
import type { Redis } from './redis.ts'

/**
 * The least number that the next claim or epoch may have. The number itself is given out by a script in Redis, which knows the last
 * one; this is for a Redis that came back empty while the clock was set back: no number that was ever seen here comes again.
 */
export function createNumbers({ now, last = 0, onSeen }: { readonly now: () => number; readonly last?: number | undefined; readonly onSeen: (number: number) => void }) {
  let highest = last
  return {
    least: (): number => Math.max(now(), highest + 1),
    seen(number: number): void {
      if (number <= highest) return
      highest = number
      onSeen(number)
    },
  }
}

export type Numbers = ReturnType<typeof createNumbers>

/** A number that nothing else of the source has; undefined when the signal aborts before Redis answers. */
export async function makeNumber(client: Redis, numbers: Numbers, signal: AbortSignal): Promise<number | undefined> {
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      const number = await client.beat([NUMBER_KEY], [numbers.least(), ''])
      numbers.seen(number)
      return number
    } catch {
      await sleep(backoffMs(failures, { maxMs: 1_000 }), signal)
    }
  }
  return undefined
}
