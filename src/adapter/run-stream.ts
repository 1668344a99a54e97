import { attempt } from './attempt.ts'
import type { Budget } from './budget.ts'
import type { App } from './delivery.ts'
import type { Failures } from './failures.ts'
import type { Log } from './log.ts'
import type { Entry } from './message.ts'
import type { FromSqsOptions } from './options.ts'
import { parkEntry } from './park.ts'

/** What running a batch takes. */
export type Run = {
  readonly app: App
  readonly budget: Budget
  readonly failures: Failures
  readonly maxAgeMs: number | undefined
  readonly now: () => number
  readonly log: Log
  readonly check?: FromSqsOptions<unknown>['check']
}

const HELD =
  'held back: an earlier notification of its reference is still being retried, and this message was on its last attempt'

/**
 * Runs one reference, in order. Behind one that is to be retried, the rest is held back: it is not run and not finished.
 *
 * A message that is held back on its last attempt would be moved to the dead-letter queue whole, so what is held back in it is
 * parked alone: it is neither lost, nor run before the earlier one. That is rare: mostly the earlier one's message was handed out
 * as often, so the earlier one is parked and the rest runs.
 */
export async function runStream(stream: readonly Entry<unknown>[], run: Run): Promise<void> {
  let blocked = false
  for (const [at, entry] of stream.entries()) {
    if (blocked) {
      if (entry.lastAttempt) parkEntry(entry, HELD, undefined)
      continue
    }
    const limitMs = run.budget.handlerMs()
    // There is no other time for those behind it: one that hangs leaves them half of it.
    const outcome = await attempt(run.app, entry, {
      ...run,
      limitMs: entry.lastAttempt && at < stream.length - 1 ? limitMs / 2 : limitMs,
    })
    if (outcome.kind === 'done') {
      entry.finished = true
      continue
    }
    const { reason, status, error } = outcome
    if (outcome.kind === 'retry') run.failures.add(entry, reason, error)
    if (outcome.kind === 'park' || entry.lastAttempt) parkEntry(entry, reason, status)
    else entry.failure = { reason, ...(status === undefined ? {} : { status }) }
    blocked = !entry.finished
  }
}
