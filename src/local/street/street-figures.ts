import { Histogram } from 'prom-client'
import { readBody, type HttpOutcome, type Notification, type Route, type Routes } from '../../protocol/index.ts'
import type { Relay } from '../../relay/index.ts'
import type { Invocation, LambdaRecord } from '../lambda/lambda-trigger.ts'

/** The number of samples up to `atMost` seconds, sorted. The last bucket counts all samples. */
export type Buckets = readonly { readonly atMost: number; readonly count: number }[]

type FiguresOptions = {
  readonly routes: Routes
  readonly metrics: Relay['metrics']
  readonly watch: Watch
  /** Returns the number of notifications that functions parked. */
  readonly countParked: () => Promise<number>
}

/** Reads the figures of the street since its start. */
export async function readFigures({ routes, metrics, watch, countParked }: FiguresOptions) {
  const received = new Map<string, number>()
  for (const { labels, value } of (await metrics.received.get()).values) {
    const route = String(labels.route)
    received.set(route, (received.get(route) ?? 0) + value)
  }
  return {
    /** The routes in the order of the route table, with the notifications that the relay received and that functions have done. */
    routes: routes.all.map(({ name }) => ({
      name,
      received: received.get(name) ?? 0,
      handled: watch.handled.get(name) ?? 0,
    })),
    /** The time from receipt by the relay to acceptance by SQS. */
    relayDelay: await readBuckets(metrics.delay),
    /** The time from receipt by the relay until the function is done, including its commit. */
    handledDelay: await readBuckets(watch.delay),
    /** Items on the lists that the relay consumes. */
    backlog: await sum(metrics.backlog),
    /** Notifications that the relay or functions parked. */
    parked: (await sum(metrics.parkedItems)) + (await countParked()),
    gaps: await sum(metrics.gaps),
    /** Requests of the relay to SQS. */
    sends: await sum(metrics.requests),
    /** The number of invocations of functions. */
    invocations: watch.invocations(),
  }
}

export type Figures = Awaited<ReturnType<typeof readFigures>>

async function sum(metric: { get: () => Promise<{ values: readonly { value: number }[] }> }): Promise<number> {
  return (await metric.get()).values.reduce((total, { value }) => total + value, 0)
}

/** Sums the buckets of all label values. */
async function readBuckets(histogram: Histogram): Promise<Buckets> {
  const counts = new Map<number, number>()
  for (const { metricName, labels, value } of (await histogram.get()).values) {
    if (metricName?.endsWith('_bucket') !== true) continue
    const atMost = Number(String(labels['le']).replace('+Inf', 'Infinity'))
    counts.set(atMost, (counts.get(atMost) ?? 0) + value)
  }
  return [...counts].map(([atMost, count]) => ({ atMost, count })).toSorted((a, b) => a.atMost - b.atMost)
}

/**
 * Estimates the duration (s) that the share `q` of the samples between two readings did not exceed. Undefined if there was no sample.
 * `before` may be empty.
 */
export function quantile(before: Buckets, after: Buckets, q: number): number | undefined {
  const earlier = new Map(before.map(({ atMost, count }) => [atMost, count]))
  const between = after.map(({ atMost, count }) => ({ atMost, count: count - (earlier.get(atMost) ?? 0) }))
  const wanted = (between.at(-1)?.count ?? 0) * q
  if (wanted === 0) return undefined
  const at = between.findIndex(({ count }) => count >= wanted)
  const { atMost, count } = between[at] as Buckets[number]
  const { atMost: above, count: counted } = between[at - 1] ?? { atMost: 0, count: 0 }
  // The last bucket has no upper bound, so its lower bound is returned.
  return atMost === Infinity ? above : above + ((atMost - above) * (wanted - counted)) / (count - counted)
}

/** A notification that a function received. */
export type Handled = {
  readonly route: Route
  readonly notification: Notification
  /** `retry`: SQS delivers its message again, because of this notification or another one in the message. */
  readonly outcome: 'done' | 'retry'
  /** The time since the relay received it. */
  readonly delayMs: number
}

/** Creates counters of the results of functions. */
export function createWatch(onHandled?: (handled: Handled) => void) {
  const handled = new Map<string, number>()
  let invocations = 0
  const buckets = [0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600]
  const delay = new Histogram({ name: 'handled_delay_seconds', help: 'From received to done', buckets, registers: [] })

  const noteOne = (route: Route, notification: Notification, outcome: Handled['outcome'], nowMs: number) => {
    const delayMs = Math.max(0, nowMs - Date.parse(notification.time))
    if (outcome === 'done') {
      handled.set(route.name, (handled.get(route.name) ?? 0) + 1)
      delay.observe(delayMs / 1_000)
    }
    onHandled?.({ route, notification, outcome, delayMs })
  }
  const noteRecord = async (route: Route, record: LambdaRecord, outcome: Handled['outcome'], nowMs: number) => {
    const encoding = record.messageAttributes['content-encoding']?.stringValue
    for (const notification of await readBody(record.body, encoding)) noteOne(route, notification, outcome, nowMs)
  }

  return {
    /** Route name → number of notifications that are done. */
    handled: handled as ReadonlyMap<string, number>,
    /** The time (s) from receipt by the relay until the function is done. */
    delay,
    /** Returns the number of invocations of functions. */
    invocations: () => invocations,
    /** Counts a request of the relay to functions behind HTTP, with the outcome of each notification. */
    noteBatch: (route: Route, notifications: readonly Notification[], outcomes: readonly HttpOutcome[]): void => {
      invocations++
      const nowMs = Date.now()
      for (const [at, notification] of notifications.entries())
        noteOne(route, notification, outcomes[at]?.outcome === 'retry' ? 'retry' : 'done', nowMs)
    },
    /** Counts an invocation behind SQS. */
    noteInvocation: (route: Route, { records, failed }: Invocation): void => {
      invocations++
      const nowMs = Date.now()
      for (const record of records) {
        noteRecord(route, record, failed.has(record.messageId) ? 'retry' : 'done', nowMs).catch(() => {
          // A body that cannot be read is parked by the adapter and counted there.
        })
      }
    },
  }
}

export type Watch = ReturnType<typeof createWatch>
