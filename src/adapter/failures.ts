import { describeStack } from './errors.ts'
import type { Log } from './log.ts'
import type { Entry } from './message.ts'

/** Collects what is to be retried in a batch, and says it in a few lines: in an outage all fail for the same reason. */
export type Failures = {
  add: (entry: Entry<unknown>, reason: string, error: unknown) => void
  /** Logs one line for each type and reason, with the first notification that had it. */
  report: () => void
}

const MOST_LINES = 10

export function createFailures(log: Log): Failures {
  const lines = new Map<string, { count: number; entry: Entry<unknown>; reason: string; error: unknown }>()
  return {
    add: (entry, reason, error) => {
      const key = `${entry.notification.type} ${reason}`
      const line = lines.get(key)
      if (line === undefined) lines.set(key, { count: 1, entry, reason, error })
      else line.count++
    },
    report: () => {
      const all = [...lines.values()]
      for (const { count, entry, reason, error } of all.slice(0, MOST_LINES)) {
        const { notification, attempt } = entry
        log({
          level: 'warn',
          code: 'adapter.handler.failed',
          message: 'the handler failed; SQS will deliver these notifications again',
          count,
          reason,
          attempt,
          type: notification.type,
          firstId: notification.id,
          stack: describeStack(error),
        })
      }
      if (all.length > MOST_LINES)
        log({
          level: 'warn',
          code: 'adapter.handler.failed_more',
          message: 'the handler failed for other reasons as well',
          reasons: all.length - MOST_LINES,
        })
    },
  }
}
