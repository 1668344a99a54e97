import type { LambdaContext } from './sqs-event.ts'

/**
 * How the time that Lambda leaves is divided. A function that Lambda kills reports nothing: its whole batch runs again. So each
 * step has to end while there is time for those behind it: handlers, then the commit, the report.
 * Each function returns ms; zero or less: too late to begin. `Infinity` without a Lambda context.
 */
export type Budget = { handlerMs: () => number; commitMs: () => number; reportMs: () => number }

const LARGEST_RESERVE_MS = 2000

/**
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
