import { AdapterError } from './adapter-error.ts'
import type { LambdaContext } from './message.ts'

export type Budget = { handlerMs: () => number; commitMs: () => number; reportMs: () => number }

const LARGEST_RESERVE_MS = 2000

/**
 * How the time that Lambda leaves is divided. A function that Lambda kills reports nothing: its whole batch runs again. So each
 * step has to end while there is time for those behind it: handlers, then the commit, the report.
 * Each function returns ms; zero or less: too late to begin. `Infinity` without a Lambda context.
 *
 * @param timeoutMs a limit of the user's own for one notification
 */
export function createBudget(context: LambdaContext | undefined, timeoutMs = Infinity): Budget {
  const leftMs = () => context?.getRemainingTimeInMillis() ?? Infinity
  const reserveMs = Math.min(LARGEST_RESERVE_MS, leftMs() / 4)
  return {
    handlerMs: () => Math.min(timeoutMs, leftMs() - reserveMs),
    commitMs: () => leftMs() - reserveMs * 0.25,
    reportMs: () => leftMs() - reserveMs * 0.1,
  }
}

// A timer of more milliseconds than this fires at once.
const LONGEST_TIMER_MS = 0x7fff_ffff

/**
 * The result of `work`, unless it takes longer than this. The work itself is not stopped: it has to be told, and what it does
 * later is ignored.
 *
 * @param limitMs may be `Infinity`
 * @throws AdapterError `adapter.step.time_limit`; `adapter.step.no_time` when nothing was left to begin with and the work was not started
 */
export async function within<T>(limitMs: number, work: () => Promise<T>): Promise<T> {
  if (limitMs <= 0) throw new AdapterError('adapter.step.no_time', 'the function had no time left for this step')
  if (limitMs > LONGEST_TIMER_MS) return work()
  let timer: ReturnType<typeof setTimeout> | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new AdapterError('adapter.step.time_limit', `no answer within ${(limitMs / 1000).toFixed(1)} s`)),
      limitMs,
    )
  })
  try {
    return await Promise.race([work(), limit])
  } finally {
    clearTimeout(timer)
  }
}

/** Ten attempts at 1, 2, 4 … 256 s last eight and a half minutes; each one more adds five minutes. */
const LONGEST_PAUSE_SECONDS = 300

/** How long (s) to wait after this attempt: 1 s after the first, doubled after each. */
export const pauseSeconds = (attempt: number, longest = LONGEST_PAUSE_SECONDS): number =>
  Math.min(2 ** (attempt - 1), longest)
