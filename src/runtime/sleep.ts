import { setTimeout as delay } from 'node:timers/promises'

/** Waits `ms`, or less when the signal aborts. Resolves either way, so that a loop checks its signal and need not catch an error. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal })
  } catch {
    // Aborted: that is what the caller asked for.
  }
}

/** Settles as `promise` does. @throws the error of `late` when that takes longer than `limitMs` */
export async function within<T>(limitMs: number, promise: Promise<T>, late: () => Error): Promise<T> {
  const { promise: never, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), limitMs)
  try {
    return await Promise.race([promise, never])
  } finally {
    clearTimeout(timer)
  }
}

/** Returns how long (ms) it takes until the first multiple of `everyMs` that is at least half of `everyMs` away. */
export function msToBeat(everyMs: number, nowMs: number): number {
  const pastMs = nowMs % everyMs
  return pastMs <= everyMs / 2 ? everyMs - pastMs : 2 * everyMs - pastMs
}

/**
 * Waits for the next beat of a rhythm that all loops of the process share, so that loops with the same interval wake an idle process once. A wait
 * lasts from half of `everyMs` to one and a half of it. Resolves as `sleep` does.
 */
export const sleepToBeat = (everyMs: number, signal?: AbortSignal): Promise<void> =>
  sleep(msToBeat(everyMs, performance.now()), signal)

/** Exponential back-off with full jitter. Source: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/ */
export type BackoffOptions = {
  /** The upper bound of the first wait, ms. Default 100. */
  readonly baseMs?: number
  /** The upper bound of any wait, ms. Default 2,000: after a recovery, work resumes within two seconds. */
  readonly maxMs?: number
  /** A number in [0, 1). Default `Math.random`. */
  readonly random?: () => number
}

/** Returns how long (ms) to wait before the try after `failures` failures (1, 2, 3 …): a random part of the bound, at least 10 ms. */
export function backoffMs(failures: number, options: BackoffOptions = {}): number {
  const { baseMs = 100, maxMs = 2_000, random = Math.random } = options
  const bound = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30))
  return Math.max(10, random() * bound)
}

/** Returns a function that runs pieces of work one after the other, in the order of the calls. */
export function createTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const turn = last.then(work, work)
    last = turn.catch(() => undefined)
    return turn
  }
}
