import type { Load } from './measure-pubsub.ts'
import type { Results } from './results.ts'
import type { Subject } from './subject.ts'
import { formatTable, thousands } from './table.ts'

type Figure =
  | 'perSecond'
  | 'cpuUs'
  | 'p50Ms'
  | 'p99Ms'
  | 'requestsPerMillion'
  | 'cpuPercent'
  | 'rssMb'
  | 'peakRssMb'
  | 'recoveryMs'
  | 'moreMs'
  | 'each'
type Figures = { readonly [name in Figure]?: number }

/** A row of the table: a figure of the relay, and its target. */
type Row = {
  readonly at: string
  readonly work: string
  readonly figure: Figure
  readonly digits?: number
  /** The limit: a number. With `than`, it is a multiple of Bento's figure, or an amount above that of the floor. */
  readonly most?: number
  readonly least?: number
  readonly than?: 'bento' | 'floor'
  /** A more ambitious limit, as a share of Bento's figure. */
  readonly stretch?: number
}

const HALF = { figure: 'cpuUs', than: 'bento', most: 1 / 2, stretch: 1 / 3 } as const

const ROWS: readonly Row[] = [
  { at: 'drain', work: 'drain, CDRs per second', figure: 'perSecond', than: 'bento', least: 8 },
  { at: 'drain', work: '– CPU µs each', figure: 'cpuUs', digits: 1, than: 'bento', most: 1 / 8 },
  { at: 'status 2660 0', work: 'Pub/Sub 2,660/s, SQS at once: CPU µs each', ...HALF },
  { at: 'status 2660 0', work: '– p50 ms', figure: 'p50Ms', digits: 2, most: 2.2 },
  { at: 'status 2660 0', work: '– p99 ms', figure: 'p99Ms', digits: 2, most: 9 },
  { at: 'call 2660 0', work: 'calls 2,660/s, SQS at once: p50 ms', figure: 'p50Ms', digits: 2, most: 0.8 },
  { at: 'status 2660 20', work: 'Pub/Sub 2,660/s, SQS after 0–20 ms: CPU µs each', ...HALF },
  { at: 'status 2660 20', work: '– p50 ms', figure: 'p50Ms', digits: 2, most: 13.5 },
  { at: 'status 2660 20', work: '– p99 ms', figure: 'p99Ms', digits: 2, most: 35 },
  { at: 'status 2660 20', work: '– requests per million', figure: 'requestsPerMillion', most: 100_000 },
  { at: 'status 500 0', work: 'Pub/Sub 500/s, SQS at once: p50 ms', figure: 'p50Ms', digits: 2, most: 0.7 },
  { at: 'status 500 0', work: '– CPU µs each', figure: 'cpuUs', than: 'bento', most: 1 / 2 },
  { at: 'status 20 0', work: 'Pub/Sub 20/s, SQS at once: p50 ms', figure: 'p50Ms', digits: 2, than: 'floor', most: 1 },
  { at: 'status 20 0', work: '– CPU µs each', figure: 'cpuUs', than: 'bento', most: 1 / 3 },
  { at: 'idle', work: 'idle: CPU % of a core', figure: 'cpuPercent', digits: 2, most: 0.5 },
  { at: 'idle', work: '– RSS MB', figure: 'rssMb', most: 80 },
  { at: 'drain', work: 'peak RSS MB: drain', figure: 'peakRssMb', most: 200 },
  { at: 'pubsub', work: '– Pub/Sub', figure: 'peakRssMb', most: 200 },
  { at: 'outage', work: '– a minute of SQS outage', figure: 'peakRssMb', most: 200 },
  { at: 'outage', work: 'first accepted after the outage, ms', figure: 'recoveryMs', most: 2_000 },
]

/** The maximum number of read-model commands for a notification in a separate commit. */
const MAX_COMMANDS: Readonly<Record<string, number>> = { 'agents/status': 4, 'agents/call': 6, 'campaigns/cdr': 8 }

const PRICE_ROWS = {
  centre: { at: 'price', work: 'commands each, in the call centre', figure: 'each', digits: 2, most: 6 },
  alone: { at: 'price', work: '', figure: 'each', digits: 2 },
  packs: { at: 'price', work: '', figure: 'each', digits: 2, most: 4 },
  agents: { at: 'price', work: 'GET /agents with 2,000 agents, commands', figure: 'each', most: 5 },
  cdr: { at: 'price', work: 'a CDR including its indexes, bytes', figure: 'each', most: 800 },
  capacity: { at: 'capacity', work: 'notifications per second into one database', figure: 'each', least: 1_980 },
  script: { at: 'capacity', work: 'slowest script, ms', figure: 'each', digits: 1, most: 5 },
  task: { at: 'console', work: 'console: longest task of the main thread, ms', figure: 'each', most: 100 },
  heap: {
    at: 'console',
    work: 'console: heap at the end, relative to the middle',
    figure: 'each',
    digits: 2,
    most: 1.1,
  },
  bill: { at: 'price', work: 'a month with 1,000 agents, US dollars', figure: 'each', most: 150 },
} satisfies Readonly<Record<string, Row>>

/** The figures of Bento 1.10 and the floor in one run on a virtual machine with 2 processors. They apply if `--bento` is not given. */
const BENTO: Readonly<Record<string, Figures>> = {
  drain: { perSecond: 8_529, cpuUs: 139, peakRssMb: 60 },
  'status 2660 0': { cpuUs: 176, p50Ms: 2.6, p99Ms: 13.3 },
  'status 2660 20': { cpuUs: 178, p50Ms: 13.2, p99Ms: 35, requestsPerMillion: 135_000 },
  'status 500 0': { cpuUs: 594, p50Ms: 4.4 },
  'status 20 0': { cpuUs: 6_683, p50Ms: 10 },
  pubsub: { peakRssMb: 60 },
}
const FLOOR = { cpuUs: 90, p50Ms: 3.5 }

/** The load at which the CPU time of the floor shows how fast a machine is. */
export const REFERENCE: Load = { type: 'status', rate: 2_660, delayMs: 0 }

const keyOf = ({ type, rate, delayMs }: Load): string => `${type} ${rate} ${delayMs}`

export type Verdict = {
  readonly work: string
  readonly relay: string
  readonly bento: string
  readonly floor: string
  readonly target: string
  readonly verdict: 'met' | 'met, stretch goal too' | 'missed' | '–'
}

/** Compares the relay with each target whose figure was measured. */
export function toVerdicts(results: Results): Verdict[] {
  const [relay, floor] = [figuresOf('relay', results), figuresOf('floor', results)]
  const bento = isGiven(results) ? figuresOf('bento', results) : toScaled(scaleOf(results))
  const cold = results.cold.slice(1).map(({ name, moreMs }) => {
    const row: Row = { at: name, work: `cold start of ${name}, ms above an empty handler`, figure: 'moreMs', most: 90 }
    return toVerdict(row, moreMs, undefined, undefined)
  })
  const price = results.price.flatMap(({ kinds, centre, agentsPage, cdrBytes, bill }) => [
    toVerdict(PRICE_ROWS.centre, centre.commands / centre.notifications, undefined, undefined),
    ...kinds.flatMap(({ kind, alone, inPacks }) => [
      toVerdict(
        { ...PRICE_ROWS.alone, work: `– ${kind} alone`, most: MAX_COMMANDS[kind] ?? 6 },
        alone,
        undefined,
        undefined,
      ),
      toVerdict({ ...PRICE_ROWS.packs, work: `– ${kind} in commits of 50` }, inPacks, undefined, undefined),
    ]),
    toVerdict(PRICE_ROWS.agents, agentsPage, undefined, undefined),
    toVerdict(PRICE_ROWS.cdr, cdrBytes, undefined, undefined),
    ...(bill.agents === 1_000 ? [toVerdict(PRICE_ROWS.bill, bill.all, undefined, undefined)] : []),
  ])
  return [
    ...ROWS.flatMap((row) => {
      const value = relay[row.at]?.[row.figure]
      return value === undefined
        ? []
        : [toVerdict(row, value, bento[row.at]?.[row.figure], floor[row.at]?.[row.figure])]
    }),
    ...cold,
    ...price,
    ...results.capacity.flatMap(({ perSecond, slowestMs }) => [
      toVerdict(PRICE_ROWS.capacity, perSecond, undefined, undefined),
      toVerdict(PRICE_ROWS.script, slowestMs, undefined, undefined),
    ]),
    ...results.console.flatMap(({ pages }) =>
      pages.flatMap(({ page, longestMs, heapMb: [, middle, end] }) => [
        toVerdict({ ...PRICE_ROWS.task, work: `${PRICE_ROWS.task.work} (${page})` }, longestMs, undefined, undefined),
        toVerdict(
          { ...PRICE_ROWS.heap, work: `${PRICE_ROWS.heap.work} (${page})` },
          end / middle,
          undefined,
          undefined,
        ),
      ]),
    ),
  ]
}

export function formatVerdicts(results: Results): string {
  const { cpu, time } = scaleOf(results)
  const scaled = `Bento's figures are those of version 1.10 on another machine, scaled by the floor of this run (CPU × ${cpu.toFixed(2)}, time × ${time.toFixed(2)}); --bento PATH measures yours`
  const rows = toVerdicts(results).map((row) => [row.work, row.relay, row.bento, row.floor, row.target, row.verdict])
  const table = formatTable(['', 'relay', 'Bento', 'floor', 'target', 'verdict'], rows)
  return isGiven(results) ? table : `${scaled}\n${table}`
}

/** Returns whether this run must still measure the floor at `REFERENCE`, because figures of Bento are scaled by it. */
export function needsReference(results: Results): boolean {
  const relay = figuresOf('relay', results)
  const isScaled = !isGiven(results) && ROWS.some(({ at, than }) => than === 'bento' && relay[at] !== undefined)
  return isScaled && figuresOf('floor', results)[keyOf(REFERENCE)] === undefined
}

const isGiven = ({ drain, pubsub }: Results): boolean =>
  [...drain, ...pubsub].some(({ subject }) => subject.kind === 'bento')

function scaleOf(results: Results): { readonly cpu: number; readonly time: number } {
  const floor = figuresOf('floor', results)
  return {
    cpu: (floor[keyOf(REFERENCE)]?.cpuUs ?? FLOOR.cpuUs) / FLOOR.cpuUs,
    time: (floor['status 20 0']?.p50Ms ?? FLOOR.p50Ms) / FLOOR.p50Ms,
  }
}

function toScaled({ cpu, time }: ReturnType<typeof scaleOf>): Readonly<Record<string, Figures>> {
  const factors: { readonly [name in Figure]?: number } = { perSecond: 1 / cpu, cpuUs: cpu, p50Ms: time, p99Ms: time }
  return Object.fromEntries(
    Object.entries(BENTO).map(([key, figures]) => [
      key,
      Object.fromEntries(
        Object.entries(figures).map(([name, value]) => [name, value * (factors[name as Figure] ?? 1)]),
      ),
    ]),
  )
}

/** Finds all figures of the first subject of this kind. */
function figuresOf(kind: Subject['kind'], results: Results): Readonly<Record<string, Figures | undefined>> {
  const { drain, pubsub, idle, outage } = results
  const first = [...drain, ...pubsub, ...idle, ...outage].find(({ subject }) => subject.kind === kind)?.subject
  const isOwn = ({ subject }: { subject: Subject }) => subject === first
  const published = pubsub.filter(isOwn)
  return {
    drain: drain.find(isOwn)?.figures,
    idle: idle.find(isOwn)?.figures,
    outage: outage.find(isOwn)?.figures,
    ...Object.fromEntries(published.map(({ load, figures }) => [keyOf(load), figures])),
    ...(published.length > 0 && {
      pubsub: { peakRssMb: Math.max(...published.map(({ figures }) => figures.peakRssMb)) },
    }),
  }
}

function toVerdict(row: Row, relay: number, bento: number | undefined, floor: number | undefined): Verdict {
  const { digits = 0, than, least, stretch } = row
  const share = least ?? row.most ?? 0
  const limit = than === 'bento' ? bento && bento * share : than === 'floor' ? floor && floor + share : share
  const format = (value: number | undefined) =>
    value === undefined ? '–' : digits === 0 ? thousands(value) : value.toFixed(digits)
  const isMet = limit !== undefined && (least === undefined ? relay <= limit : relay >= limit)
  const isStretch = stretch !== undefined && bento !== undefined && relay <= bento * stretch
  const times = share < 1 ? `1/${Math.round(1 / share)} of` : `${share} ×`
  const why = than === 'bento' ? ` (${times} Bento)` : than === 'floor' ? ` (${share} above the floor)` : ''
  return {
    work: row.work,
    relay: format(relay),
    bento: format(bento),
    floor: format(floor),
    target: `${least === undefined ? '≤' : '≥'} ${format(limit)}${why}`,
    verdict: limit === undefined ? '–' : !isMet ? 'missed' : isStretch ? 'met, stretch goal too' : 'met',
  }
}
