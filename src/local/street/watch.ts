import { Histogram } from 'prom-client'
import { readBody, type Notification, type Route } from '../../protocol/index.ts'
import type { LambdaRecord } from '../lambda-event.ts'
import type { Invocation } from '../lambda-trigger.ts'

/** A notification that a function has had. */
export type Handled = {
  readonly route: Route
  readonly notification: Notification
  /** `retry`: its message comes again, because of this notification or of another one in it. */
  readonly outcome: 'done' | 'retry'
  /** From received by the relay until now. */
  readonly delayMs: number
}

/** Watches what comes out of the functions. */
export type Watch = {
  /** Route name → notifications of messages that are done. */
  readonly handled: ReadonlyMap<string, number>
  /** How often functions were called. */
  readonly invocations: () => number
  /** Seconds from received by the relay to done. */
  readonly delay: Histogram
  note: (route: Route, invocation: Invocation) => void
}

export function createWatch(onHandled?: (handled: Handled) => void): Watch {
  const handled = new Map<string, number>()
  let invocations = 0
  const buckets = [0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600]
  const delay = new Histogram({ name: 'handled_delay_seconds', help: 'From received to done', buckets, registers: [] })

  const noteRecord = async (route: Route, record: LambdaRecord, outcome: Handled['outcome'], nowMs: number) => {
    const notifications = await readBody(record.body, record.messageAttributes['content-encoding']?.stringValue)
    if (outcome === 'done') handled.set(route.name, (handled.get(route.name) ?? 0) + notifications.length)
    for (const notification of notifications) {
      const delayMs = Math.max(0, nowMs - Date.parse(notification.time))
      if (outcome === 'done') delay.observe(delayMs / 1_000)
      onHandled?.({ route, notification, outcome, delayMs })
    }
  }

  return {
    handled,
    delay,
    invocations: () => invocations,
    note: (route, { records, failed }) => {
      invocations++
      const nowMs = Date.now()
      for (const record of records) {
        noteRecord(route, record, failed.has(record.messageId) ? 'retry' : 'done', nowMs).catch(() => {
          // What cannot be read, the adapter has parked; it is seen among the dead letters.
        })
      }
    },
  }
}
