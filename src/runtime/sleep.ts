import { setTimeout as delay } from 'node:timers/promises'

/** Waits `ms`, or less when the signal aborts; resolves either way, so that a loop looks at its signal and not for an error. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal })
  } catch {
    // Aborted: that is what the caller asked for.
  }
}

/** The same as `promise`, for at most `limitMs`. @throws what `late` makes when it takes longer */
export async function within<T>(limitMs: number, promise: Promise<T>, late: () => Error): Promise<T> {
  const { promise: never, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), limitMs)
  try {
    return await Promise.race([promise, never])
  } finally {
    clearTimeout(timer)
  }
}

/** How long (ms) it is until a multiple of `everyMs` that is at least half of it away. */
export function msToBeat(everyMs: number, nowMs: number): number {
  const pastMs = nowMs % everyMs
  return pastMs <= everyMs / 2 ? everyMs - pastMs : 2 * everyMs - pastMs
}

/**
 * Waits for the next beat of a rhythm that all loops of the process share, so that what is due together wakes an idle process once. A wait
 * lasts from half of `everyMs` to one and a half of it. Resolves as `sleep` does.
 */
export const sleepToBeat = (everyMs: number, signal?: AbortSignal): Promise<void> =>
  sleep(msToBeat(everyMs, performance.now()), signal)
