import { FAULT_KINDS } from './faults.ts'
import { STREAMS } from './packets.ts'
import type { Street } from './street.ts'

export type Counts = { readonly inGaps: number; readonly lostWithRedis: number; readonly excused: number }

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
const toMs = (values: readonly number[]): string =>
  values.length === 0 ? '–' : `${median(values)} / ${Math.max(...values)}`

/** Formats rows as a table. The first row is the header. */
function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Formats the faults: how often each occurred, how long it lasted, and the time (ms) until a packet written after it arrived. */
export function formatFaults({ timeline, recovery }: Street): string {
  const rows = FAULT_KINDS.map((kind) => {
    const happened = timeline.happened.filter((one) => one.kind === kind)
    const lastedMs = happened.reduce((sum, { fromMs, toMs: endMs = fromMs }) => sum + endMs - fromMs, 0)
    const times = recovery.times.get(kind)
    return [
      kind,
      String(happened.length),
      (lastedMs / 1_000).toFixed(1),
      toMs(times?.main ?? []),
      toMs(times?.pubsub ?? []),
    ]
  }).filter(([, count]) => count !== '0')
  return formatTable([['fault', 'times', 'lasted s', 'a CDR after ms (median / most)', 'Pub/Sub after ms'], ...rows])
}

/** Formats the streams: packets written, arrived and not arrived, and copies. */
export function formatStreams({ ledger }: Street): string {
  const rows = STREAMS.map((stream) => {
    const { written, arrived, copies } = ledger[stream].state
    return [stream, String(written), String(arrived), String(copies), String(written - arrived)]
  })
  return formatTable([['stream', 'written', 'arrived', 'copies', 'not arrived'], ...rows])
}

/** `236 MB, 41 s after its start (1803.221 s, during sqs-hang)` */
export function describeMemory({ relays: { figures }, timeline }: Street): string {
  const { mostRssMb, mostRssMs, mostRssAgeMs } = figures
  return `${mostRssMb.toFixed(0)} MB, ${(mostRssAgeMs / 1_000).toFixed(0)} s after its start (${timeline.describe(mostRssMs)})`
}

/** Formats all other figures of a run. */
export function formatFigures(street: Street, { inGaps, lostWithRedis, excused }: Counts, seconds: number): string {
  const {
    ledger,
    checker,
    relays: { figures, adoptions },
    functions,
    cloud,
    server,
    model,
    state,
  } = street
  const written = STREAMS.reduce((sum, stream) => sum + ledger[stream].state.written, 0)
  const gapSeconds = checker.gaps.reduce((sum, { fromMs, toMs: endMs }) => sum + endMs - fromMs, 0) / 1_000
  return [
    `${seconds.toFixed(0)} s, ${written} packets (${(written / seconds).toFixed(0)}/s on average)`,
    `parked by the relay ${checker.parked.size}, each announced`,
    `Pub/Sub: ${checker.gaps.length} gaps of ${gapSeconds.toFixed(1)} s announced (${figures.gapsLogged} logged), ${inGaps} packets missing, all within them`,
    `Redis emptied: ${lostWithRedis} CDRs gone that no relay had taken into memory; ${state.heldWhenEmptied} that one had, arrived (${state.killedWhenEmptied} times the relay was killed after it)`,
    `order: ${excused} late of claims that another relay took up (${adoptions.length} times)`,
    `relays: ${figures.starts} started, ${figures.kills} killed, ${figures.terms} ended; most memory ${describeMemory(street)}; CPU ${(figures.cpuMs / 1_000).toFixed(1)} s, ${(figures.cpuMs / (written / 1_000)).toFixed(1)} ms per 1,000 packets`,
    `SQS: ${cloud.state.requests} requests, ${cloud.state.refused} refused`,
    `HTTP (${server.routes}): ${server.state.requests} requests, ${server.state.refused} refused`,
    `functions: ${functions.invocations} invocations of Lambda, ${functions.state.runs} runs, ${functions.state.faults} with a fault, ${functions.state.parked} parked; ${model.state.requests} requests to Upstash`,
    'said by the relays, warnings and worse:',
    ...[...figures.logged]
      .toSorted(([, a], [, b]) => b - a)
      .map(([words, count]) => `  ${String(count).padStart(5)}  ${words}`),
  ].join('\n')
}
