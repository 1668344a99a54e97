import { formatBill } from './bill.ts'
import type { CapacityFigures } from './measure-capacity.ts'
import type { ColdStart } from './measure-cold-start.ts'
import type { ConsoleFigures } from './measure-console.ts'
import type { DrainFigures } from './measure-drain.ts'
import type { IdleFigures } from './measure-idle.ts'
import type { KillFigures } from './measure-kills.ts'
import type { OutageFigures } from './measure-outage.ts'
import type { Price } from './measure-price.ts'
import type { PubsubFigures } from './measure-pubsub.ts'
import type { PubsubResult, Result, Results } from './results.ts'
import type { ReplayFigures } from './measure-replay.ts'
import { formatTable, thousands } from './table.ts'
import type { WallFigures } from './measure-wall.ts'

export const nameOfDelay = (delayMs: number): string => (delayMs === 0 ? 'at once' : `0–${delayMs} ms`)

export function formatDrain(results: readonly Result<DrainFigures>[]): string {
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
  const rows = results.map(({ subject, figures }) => [
    subject.name,
    thousands(figures.notifications - figures.copies + figures.missing),
    thousands(figures.perSecond),
    figures.cpuUs.toFixed(1),
    figures.requestsPerNotification.toFixed(4),
    ...[figures.peakRssMb, figures.missing, figures.copies, figures.disorder].map(thousands),
  ])
  return `Drain of a full list into SQS that answers at once\n${formatTable(head, rows)}`
}

export function formatPubsub(results: readonly PubsubResult[]): string {
  const head = [
    '',
    'sub_type',
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
  const rows = results.map(({ subject, load, figures }) => [
    subject.name,
    load.type,
    thousands(load.rate),
    nameOfDelay(load.delayMs),
    figures.p50Ms.toFixed(1),
    figures.p99Ms.toFixed(1),
    ...[figures.lateMs, figures.requestsPerMillion, figures.cpuUs, figures.peakRssMb].map(thousands),
    ...[figures.missing, figures.copies, figures.disorder].map(thousands),
  ])
  return `Pub/Sub into SQS, from PUBLISH to acceptance\n${formatTable(head, rows)}`
}

/** Formats both tables, and the ratios of the HTTP target to SQS in this run. */
export function formatHttp({ drain, pubsub }: Results['http']): string {
  const ratios: string[] = []
  const compare = (what: string, sqs: number, http: number) =>
    ratios.push(`${what}: HTTP is ${(http / sqs).toFixed(2)} times SQS`)
  for (let at = 0; at + 1 < drain.length; at += 2) {
    const [sqs, target] = [drain[at], drain[at + 1]].map((one) => one?.figures) as [DrainFigures, DrainFigures]
    compare('drain, per second', sqs.perSecond, target.perSecond)
    compare('drain, CPU each', sqs.cpuUs, target.cpuUs)
  }
  for (let at = 0; at + 1 < pubsub.length; at += 2) {
    const [sqs, target] = [pubsub[at], pubsub[at + 1]].map((one) => one?.figures) as [PubsubFigures, PubsubFigures]
    compare('Pub/Sub, p99', sqs.p99Ms, target.p99Ms)
    compare('Pub/Sub, CPU each', sqs.cpuUs, target.cpuUs)
  }
  return [formatDrain(drain), formatPubsub(pubsub), ratios.join('\n')].join('\n\n')
}

export function formatIdle(results: readonly Result<IdleFigures>[]): string {
  const rows = results.map(({ subject, figures }) => [
    subject.name,
    figures.cpuPercent.toFixed(2),
    thousands(figures.rssMb),
  ])
  return `Idle\n${formatTable(['', 'CPU % of a core', 'RSS MB'], rows)}`
}

export function formatOutage(results: readonly Result<OutageFigures>[]): string {
  const head = [
    '',
    'seconds',
    'Pub/Sub per second',
    'CDRs on the list',
    'peak RSS MB',
    'first after ms',
    'all after ms',
    'missing',
    'copies',
    'disorder',
  ]
  const rows = results.map(({ subject, figures: { seconds, rate, cdrs, peakRssMb, ...more } }) => [
    subject.name,
    ...[seconds, rate, cdrs, peakRssMb, more.recoveryMs, more.caughtUpMs].map(thousands),
    ...[more.missing, more.copies, more.disorder].map(thousands),
  ])
  return `An outage of SQS\n${formatTable(head, rows)}`
}

export function formatKills(results: readonly Result<KillFigures>[]): string {
  const rows = results.map(({ subject, figures: { cdrs, kills, missing, copies } }) => [
    subject.name,
    ...[cdrs, kills, missing, copies].map(thousands),
  ])
  return `Killed with kill -9 while draining a list, with SQS answering after 0–20 ms\n${formatTable(['', 'CDRs', 'kills', 'missing', 'copies'], rows)}`
}

export function formatCold(results: readonly ColdStart[]): string {
  const rows = results.map(({ name, kilobytes, importMs, invokeMs, moreMs }) => [
    name,
    ...[kilobytes, importMs, invokeMs, moreMs].map((figure) => figure.toFixed(1)),
  ])
  return `Cold starts of bundles\n${formatTable(['', 'kB', 'import ms', 'first invocation ms', 'more than an empty handler ms'], rows)}`
}

export function formatCapacity({ cdrs, perSecond, usedMb, cpuMs, waitedMs, ...clock }: CapacityFigures): string {
  const times = [clock.averageMs, clock.p99Ms, clock.p999Ms, clock.slowestMs, cpuMs]
  const row = [cdrs, perSecond].map(thousands).concat(
    times.map((ms) => ms.toFixed(2)),
    [waitedMs, usedMb].map(thousands),
  )
  const scripts = ['script ms: average', 'p99', 'p99.9', 'slowest', 'CPU ms each']
  const head = ['CDRs before', 'per second', ...scripts, 'waited for a CPU, ms', 'MB']
  return `Functions writing to one read model, at an input rate of 2,000/s\n${formatTable(head, [row])}`
}

export function formatConsole({ agents, pages }: ConsoleFigures): string {
  const head = [
    '',
    'seconds',
    'changes per second',
    'tasks of 50 ms or more',
    'longest ms',
    'CPU ms of the longest',
    'heap MB: start',
    'middle',
    'end',
    'elements',
  ]
  const rows = pages.map(
    ({ page, seconds, changesPerSecond, longTasks, longestMs, longestCpuMs, heapMb, elements }) => [
      page,
      thousands(seconds),
      thousands(changesPerSecond),
      thousands(longTasks),
      longTasks === 0 ? 'below 50' : thousands(longestMs),
      thousands(longestCpuMs),
      ...heapMb.map((mb) => mb.toFixed(1)),
      thousands(elements),
    ],
  )
  return `The console in a browser, ${thousands(agents)} agents\n${formatTable(head, rows)}`
}

export function formatWall({ agents, kilobytes, gzippedKilobytes, rows }: WallFigures): string {
  const head = ['', 'reads', 'ms', 'p99', 'requests', 'commands', 'kB']
  const table = rows.map(({ name, reads, ms, p99Ms, requests, commands, kilobytes: moved }) => [
    name,
    String(reads),
    ms.toFixed(1),
    p99Ms.toFixed(1),
    ...[requests, commands, moved].map(thousands),
  ])
  return `GET /wall of ${thousands(agents)} agents: ${kilobytes.toFixed(0)} kB, ${gzippedKilobytes.toFixed(0)} gzipped\n${formatTable(head, table)}`
}

export function formatReplay({ messages, rate, seconds, sentSeconds, byCommand, ...of }: ReplayFigures): string {
  const rows = (
    [
      ['requests to SQS by the replay', of.sends],
      ["requests to SQS by Lambda's pollers", of.polls],
      ['requests to the read model', of.requests],
      ['commands of the read model', of.commands],
      ['bytes to and from the read model', of.bytes],
    ] as const
  ).map(([name, count]) => [name, thousands(count), (count / messages).toFixed(2)])
  return [
    `A replay of ${thousands(messages)} CDRs at ${thousands(rate)}/s: sent in ${sentSeconds.toFixed(1)} s (${thousands(messages / sentSeconds)}/s), handled in ${seconds.toFixed(1)} s (${thousands(messages / seconds)}/s)`,
    formatTable(['', 'total', 'per message'], rows),
    `Commands per message: ${byCommand.map(([name, each]) => `${name} ${each.toFixed(2)}`).join(', ')}`,
  ].join('\n')
}

export function formatPrice({ kinds, centre, agentsPage, cdrBytes, bill }: Price): string {
  const { agents, seconds, notifications, commands, sends, invocations, bytes } = centre
  const each = (value: number) => (value / notifications).toFixed(2)
  const byKind = kinds.map(({ kind, alone, inPacks }) => [kind, alone.toFixed(2), inPacks.toFixed(2)])
  const played = [
    ['notifications', thousands(notifications), (notifications / seconds).toFixed(1)],
    ['commands of the read model', thousands(commands), each(commands)],
    ["the relay's requests to SQS", thousands(sends), each(sends)],
    ['invocations', thousands(invocations), each(invocations)],
  ]
  return [
    'Commands of the read model per notification',
    formatTable(['', 'alone', 'in commits of 50'], byKind),
    `\nA call centre of ${thousands(agents)} agents, ${seconds} s`,
    formatTable(['', 'total', 'per notification (notifications: per second)'], played),
    `\nGET /agents with 2,000 agents: ${agentsPage} commands. A CDR of 420 bytes, including its indexes: ${thousands(cdrBytes)} bytes. Read model at the end: ${(bytes / 1e6).toFixed(1)} MB.`,
    '\nThe monthly bill by these figures, in US dollars',
    formatBill([bill]),
  ].join('\n')
}
