import type { ColdStart } from './cold-start.ts'
import type { DrainResult } from './drain.ts'
import type { OutageResult } from './outage.ts'
import type { PubsubResult } from './pubsub.ts'
import { formatTable } from './table.ts'

/** What is asked for, what was measured, and whether it is enough. */
export type Target = { readonly name: string; readonly measured: string; readonly ok: boolean }

const thousands = (value: number) => Math.round(value).toLocaleString('en-US')

export function formatDrain(results: readonly DrainResult[]): string {
  const head = [
    '',
    'CDRs',
    'per second',
    'CPU µs each',
    'requests each',
    'peak RSS MB',
    'missing',
    'copies',
    'disorder',
  ]
  const rows = results.map(({ subject, count, perSecond, cpuUs, requestsPerNotification, peakRssMb, report }) => [
    subject,
    thousands(count),
    thousands(perSecond),
    cpuUs.toFixed(1),
    requestsPerNotification.toFixed(4),
    thousands(peakRssMb),
    thousands(report.missing),
    thousands(report.copies),
    thousands(report.disorder),
  ])
  return `A full list into SQS that answers at once\n${formatTable(head, rows)}`
}

export function formatPubsub(results: readonly PubsubResult[]): string {
  const head = [
    '',
    'per second',
    'SQS answers',
    'p50 ms',
    'p99 ms',
    'done after ms',
    'requests per million',
    'CPU µs each',
    'peak RSS MB',
    'missing',
    'copies',
    'disorder',
  ]
  const rows = results.map(({ subject, rate, delayMs, lateMs, requestsPerMillion, cpuUs, peakRssMb, report }) => [
    subject,
    thousands(rate),
    delayMs === 0 ? 'at once' : `0–${delayMs} ms`,
    report.p50Ms.toFixed(1),
    report.p99Ms.toFixed(1),
    thousands(lateMs),
    thousands(requestsPerMillion),
    thousands(cpuUs),
    thousands(peakRssMb),
    thousands(report.missing),
    thousands(report.copies),
    thousands(report.disorder),
  ])
  return `PubSub into SQS, from PUBLISH to accepted\n${formatTable(head, rows)}`
}

export function formatOutage({
  seconds,
  rate,
  cdrs,
  peakRssMb,
  recoveryMs,
  caughtUpMs,
  report: { missing, copies, disorder },
}: OutageResult): string {
  const head = [
    '',
    'seconds',
    'PubSub per second',
    'CDRs on the list',
    'peak RSS MB',
    'first after ms',
    'all after ms',
    'missing',
    'copies',
    'disorder',
  ]
  return `SQS accepts nothing\n${formatTable(head, [['relay', ...[seconds, rate, cdrs, peakRssMb, recoveryMs, caughtUpMs, missing, copies, disorder].map(thousands)]])}`
}

export const outageTargets = ({ seconds, rate, peakRssMb, recoveryMs }: OutageResult): Target[] => [
  {
    name: `outage of ${seconds} s at ${thousands(rate)}/s: 200 MB or less`,
    measured: thousands(peakRssMb),
    ok: peakRssMb <= 200,
  },
  {
    name: 'outage: accepted again within 2 s of its end',
    measured: `${thousands(recoveryMs)} ms`,
    ok: recoveryMs <= 2_000,
  },
]

export function formatCold(results: readonly ColdStart[]): string {
  const rows = results.map(({ name, kilobytes, importMs, invokeMs, moreMs }) => [
    name,
    kilobytes.toFixed(1),
    importMs.toFixed(1),
    invokeMs.toFixed(1),
    moreMs.toFixed(1),
  ])
  return `Cold starts of bundles, medians\n${formatTable(['', 'kB', 'import ms', 'first invoke ms', 'more than empty ms'], rows)}`
}

/** Import and first invocation: at most so much (ms) more than those of an empty handler. */
const MOST_COLD_MS = 60

export const coldTargets = (results: readonly ColdStart[]): Target[] =>
  results.slice(1).map(({ name, moreMs }) => ({
    name: `cold start of ${name}: ${MOST_COLD_MS} ms or less more than an empty handler`,
    measured: moreMs.toFixed(1),
    ok: moreMs <= MOST_COLD_MS,
  }))

export function formatTargets(targets: readonly Target[]): string {
  return formatTable(
    ['target for the relay', 'measured', ''],
    targets.map(({ name, measured, ok }) => [name, measured, ok ? 'ok' : 'missed']),
  )
}

export function drainTargets(results: readonly DrainResult[]): Target[] {
  const relay = results.find(({ subject }) => subject === 'relay')
  const baseline = results.find(({ subject }) => subject === 'baseline')
  if (relay === undefined) return []
  const targets = [
    { name: 'drain: 30,000/s or more', measured: thousands(relay.perSecond), ok: relay.perSecond >= 30_000 },
    { name: 'drain: 40 µs CPU or less', measured: relay.cpuUs.toFixed(1), ok: relay.cpuUs <= 40 },
    { name: 'drain: 200 MB or less', measured: thousands(relay.peakRssMb), ok: relay.peakRssMb <= 200 },
  ]
  if (baseline === undefined) return targets
  const faster = relay.perSecond / baseline.perSecond
  const cheaper = baseline.cpuUs / relay.cpuUs
  return [
    ...targets,
    { name: 'drain: ten times the rate of the baseline', measured: `${faster.toFixed(1)} times`, ok: faster >= 10 },
    { name: 'drain: a tenth of its CPU', measured: `1/${cheaper.toFixed(1)}`, ok: cheaper >= 10 },
  ]
}

export function pubsubTargets(results: readonly PubsubResult[]): Target[] {
  const ofRelay = results.filter(({ subject }) => subject === 'relay')
  if (ofRelay.length === 0) return []
  const peak = Math.max(...ofRelay.map(({ peakRssMb }) => peakRssMb))
  const targets = [{ name: 'pubsub: 200 MB or less', measured: thousands(peak), ok: peak <= 200 }]
  const busy = ofRelay.find(({ rate, delayMs }) => rate === 2_660 && delayMs === 20)
  if (busy === undefined) return targets
  const at = 'pubsub 2,660/s, 0–20 ms'
  return [
    { name: `${at}: p50 14 ms or less`, measured: busy.report.p50Ms.toFixed(1), ok: busy.report.p50Ms <= 14 },
    {
      name: `${at}: 200,000 requests per million or fewer`,
      measured: thousands(busy.requestsPerMillion),
      ok: busy.requestsPerMillion <= 200_000,
    },
    ...targets,
  ]
}
