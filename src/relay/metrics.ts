import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { GAP_CAUSES, type Route, type Routes } from '../protocol/index.ts'
import type { Logger } from '../runtime/index.ts'

/**
 * The histogram of the event loop's delay uses a timer that would wake an idle process a hundred times a second. With this interval, only the delay
 * at the moment of each scrape remains (`nodejs_eventloop_lag_seconds`).
 */
const NEVER_MS = 2 ** 31 - 1

/** Creates the metrics that Prometheus and the live view read. Names start with `enigma_relay_`, durations are in seconds, sizes in bytes. */
export function createMetrics() {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'enigma_relay_', eventLoopMonitoringPrecision: NEVER_MS })
  for (const figure of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
    registry.removeSingleMetric(`enigma_relay_nodejs_eventloop_lag_${figure}_seconds`)
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name: `enigma_relay_${name}`, help, labelNames, registers })
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge({ name: `enigma_relay_${name}`, help, labelNames, registers })
  return {
    registry,
    received: counter('received_total', 'Notifications taken from lists, heard on Pub/Sub, or read after a gap', [
      'source',
      'transport',
      'route',
    ]),
    other: counter('other_total', 'Notifications sent to the route "other", by reason', ['source', 'reason']),
    sent: counter('sent_total', 'Notifications that SQS or an HTTP target has accepted', ['route']),
    retried: counter(
      'retried_total',
      'Notifications sent again after a failure, or because the functions asked for it',
      ['route'],
    ),
    parked: counter('parked_total', 'Notifications that the relay parked, by reason', ['route', 'reason']),
    requests: counter('requests_total', 'Requests to SQS (SendMessageBatch) or to an HTTP target, answered or failed', [
      'route',
      'outcome',
    ]),
    adopted: counter(
      'adopted_total',
      'List items and journal rows that the relay adopted after a crash or a lost reply',
      ['source', 'transport'],
    ),
    gaps: counter('gaps_total', 'Gaps: time spans in which Pub/Sub could not be heard, by cause', ['source', 'cause']),
    discarded: counter(
      'discarded_total',
      'Pub/Sub notifications discarded because the journal or memory was full; announced as gaps',
      ['route', 'reason'],
    ),
    gapSeconds: counter('gap_seconds_total', 'Total length of all gaps, in seconds', ['source']),
    delay: new Histogram({
      name: 'enigma_relay_delay_seconds',
      help: 'Seconds from receipt by the relay to acceptance by SQS or an HTTP target',
      labelNames: ['route'] as const,
      buckets: [0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 5, 30, 300, 3600],
      registers,
    }),
    heartbeat: gauge('heartbeat_seconds', 'Seconds from publishing to hearing the last heartbeat that was heard', [
      'source',
    ]),
    backlog: gauge('backlog', 'Items on the list', ['source', 'list']),
    backlogWait: gauge('backlog_oldest_seconds', 'Upper bound of how long the oldest item on the list has waited', [
      'source',
      'list',
    ]),
    claims: gauge('claims', 'Claims of this relay that are not deleted yet', ['source']),
    numberRepairs: counter('number_repairs_total', 'Repairs of enigma:relay:number, the counter of claims and epochs', [
      'source',
    ]),
    relays: gauge('relays', 'Relays that hold a lease in the source', ['source']),
    outputBuffer: gauge('output_buffer_bytes', 'Bytes of Pub/Sub in the output buffer of Redis for this relay', [
      'source',
    ]),
    outputBufferLimit: gauge(
      'output_buffer_limit_bytes',
      'Size of the output buffer at which Redis closes the connection, in bytes; 0: no limit',
      ['source'],
    ),
    held: gauge('held', 'Notifications in memory, on their way to their target', ['route']),
    heldBytes: gauge('held_bytes', 'Bytes of the notifications in memory', ['route']),
    inFlight: gauge('requests_in_flight', 'Requests to SQS or an HTTP target in flight', ['route']),
    oldest: gauge('oldest_seconds', 'Age of the oldest notification in memory, in seconds', ['route']),
    journalRows: gauge('journal_rows', 'Pub/Sub notifications in the journal', []),
    journalBytes: gauge('journal_bytes', 'Bytes of the journal in use', []),
    ready: gauge('ready', '1 when /readyz would answer 200', []),
    parkedItems: gauge('parked', 'Entries on the parked list, shown by "enigma-relay parked"', ['source']),
    parkedFile: gauge(
      'parked_file',
      'Parked entries in the file of this relay, written because the parked list was full',
      ['source'],
    ),
  }
}

export type Metrics = ReturnType<typeof createMetrics>

/** The tools that most parts of the relay use. `now`: ms, as `Date.now`. */
export type Tools = { readonly log: Logger; readonly metrics: Metrics; readonly now: () => number }

/**
 * Creates the series that alarms use, with the value 0. Prometheus' `increase()` ignores the first sample of a counter: without this, the first gap
 * of a relay's life would raise no alarm. Source: https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics
 */
export function beginAtZero(
  { claims, gaps, gapSeconds, discarded, numberRepairs, parked, parkedFile, requests, retried, sent }: Metrics,
  sourceIds: readonly string[],
  routes: Routes,
): void {
  for (const source of sourceIds) {
    claims.set({ source }, 0)
    parkedFile.set({ source }, 0)
    gapSeconds.inc({ source }, 0)
    numberRepairs.inc({ source }, 0)
    for (const cause of GAP_CAUSES) gaps.inc({ source, cause }, 0)
  }
  for (const { name: route } of routes.all) {
    sent.inc({ route }, 0)
    retried.inc({ route }, 0)
    for (const outcome of ['answered', 'failed']) requests.inc({ route, outcome }, 0)
    for (const reason of ['refused', 'too_large']) parked.inc({ route, reason }, 0)
    for (const reason of ['journal_full', 'memory_full']) discarded.inc({ route, reason }, 0)
  }
}

/** The figures of a sender. Not a part of its type, which would bring types of the Redis client into the published types of the relay. */
type SenderFigures = {
  readonly held: number
  readonly bytes: number
  readonly inFlight: number
  readonly oldestMs: () => number | undefined
}

/** Sets the gauges that are read from senders and journal at each scrape. */
export function collectGauges(
  metrics: Metrics,
  senders: ReadonlyMap<Route, SenderFigures>,
  journal: { readonly rows: number; readonly bytes: number },
  nowMs: number,
): void {
  for (const [{ name: route }, sender] of senders) {
    const oldestMs = sender.oldestMs()
    metrics.held.set({ route }, sender.held)
    metrics.heldBytes.set({ route }, sender.bytes)
    metrics.inFlight.set({ route }, sender.inFlight)
    metrics.oldest.set({ route }, oldestMs === undefined ? 0 : (nowMs - oldestMs) / 1000)
  }
  metrics.journalRows.set(journal.rows)
  metrics.journalBytes.set(journal.bytes)
}
