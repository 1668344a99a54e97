import type { Histogram } from 'prom-client'
import type { Routes } from '../../protocol/index.ts'
import type { Relay } from '../../relay/index.ts'
import type { Watch } from './watch.ts'

/** How many samples are at most `atMost` seconds long; the last one counts all. Sorted. */
export type Buckets = readonly { readonly atMost: number; readonly count: number }[]

/** What has gone through the street since it was started. */
export type Figures = {
  /** Each route in the order of the route table: notifications that the relay took or heard, and those whose function is done. */
  readonly routes: readonly { readonly name: string; readonly received: number; readonly handled: number }[]
  /** From received by the relay to accepted by SQS. */
  readonly relayDelay: Buckets
  /** From received by the relay to done by the function, its commit included. */
  readonly handledDelay: Buckets
  /** Items on the lists that the relay takes from. */
  readonly backlog: number
  /** Put aside by the relay and by the functions. */
  readonly parked: number
  readonly gaps: number
  /** Requests of the relay to SQS. */
  readonly sends: number
  /** How often functions were called. */
  readonly invocations: number
}

export type FiguresOptions = {
  readonly routes: Routes
  readonly metrics: Relay['metrics']
  readonly watch: Watch
  /** What functions parked. */
  readonly countParked: () => Promise<number>
}

/** Reads the figures of this moment. */
export async function readFigures({ routes, metrics, watch, countParked }: FiguresOptions): Promise<Figures> {
  const received = new Map<string, number>()
  for (const { labels, value } of (await metrics.received.get()).values) {
    const route = String(labels.route)
    received.set(route, (received.get(route) ?? 0) + value)
  }
  return {
    routes: routes.all.map(({ name }) => ({
      name,
      received: received.get(name) ?? 0,
      handled: watch.handled.get(name) ?? 0,
    })),
    relayDelay: await readBuckets(metrics.delay),
    handledDelay: await readBuckets(watch.delay),
    backlog: await sum(metrics.backlog),
    parked: (await sum(metrics.parkedItems)) + (await countParked()),
    gaps: await sum(metrics.gaps),
    sends: await sum(metrics.requests),
    invocations: watch.invocations(),
  }
}

async function sum(metric: { get: () => Promise<{ values: readonly { value: number }[] }> }): Promise<number> {
  return (await metric.get()).values.reduce((total, { value }) => total + value, 0)
}

/** The buckets of all label values together. */
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
 * The duration (s) that the share `q` of the samples between two readings has not exceeded, as near as the buckets tell;
 * undefined when there was no sample. `before` may be of no samples at all.
 */
export function quantile(before: Buckets, after: Buckets, q: number): number | undefined {
  const earlier = new Map(before.map(({ atMost, count }) => [atMost, count]))
  const between = after.map(({ atMost, count }) => ({ atMost, count: count - (earlier.get(atMost) ?? 0) }))
  const wanted = (between.at(-1)?.count ?? 0) * q
  if (wanted === 0) return undefined
  const at = between.findIndex(({ count }) => count >= wanted)
  const { atMost, count } = between[at] as Buckets[number]
  const { atMost: above, count: counted } = between[at - 1] ?? { atMost: 0, count: 0 }
  // The last bucket has no end: all that is known is where it begins.
  return atMost === Infinity ? above : above + ((atMost - above) * (wanted - counted)) / (count - counted)
}
