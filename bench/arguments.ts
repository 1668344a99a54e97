import { accessSync, constants } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Load } from './measure-pubsub.ts'

const PARTS = [
  'drain',
  'pubsub',
  'calls',
  'idle',
  'outage',
  'kill',
  'baseline',
  'cold',
  'price',
  'capacity',
  'console',
  'wall',
  'replay',
  'http',
] as const

export type BenchOptions = {
  readonly smoke: boolean
  /** The part to run. Undefined: all parts that run without being named. */
  readonly only: (typeof PARTS)[number] | undefined
  /** The path of the user's Bento binary. */
  readonly bento: string | undefined
  /** Paths of single files to measure. Empty: that of the clone is built. */
  readonly relays: readonly string[]
  /** How often each measurement is repeated. */
  readonly rounds: number
  /** The number of CDRs to drain. */
  readonly counts: { readonly relay: number; readonly baseline: number }
  /** The loads to publish on Pub/Sub. */
  readonly loads: readonly Load[]
  /** The duration of each load. */
  readonly seconds: number
  /** The number of agents of the call centre in the parts price and console. */
  readonly agents: number
  /** How long the part console watches the page Wall. */
  readonly minutes: number
  /** The number of CDRs in the read model in the part capacity. */
  readonly cdrs: number
}

export const HELP = `npm run bench -- [options]: measures the relay's single file, and prints each figure with its target and a verdict. In the same
run, it measures the floor, the baseline script and, if you have it, Bento. Exits with 1 if the relay lost notifications or sent them out of order.

  --smoke             small counts, half a minute, no verdicts
  --only PART         runs one part: ${PARTS.join(', ')} (default: those before price; smoke: without kill)
  --bento PATH        also measures this Bento binary
  --relay FILE        measures this single file instead of the clone's; repeat the option to measure several files in turn
  --rounds N          how often each measurement is repeated; subjects take turns in each round (3; smoke 1)
  --count N           CDRs that the relay and Bento drain (200000; smoke 20000)
  --baseline-count N  CDRs that the baseline drains (20000; smoke 1000)
  --rates a,b         notifications per second on Pub/Sub (those of the loads with a target; smoke 500)
  --delays a,b        maximum delay (ms) of an SQS response on Pub/Sub (those of the loads with a target; smoke 20)
  --seconds N         duration of each Pub/Sub rate and of the capacity load; the price part measures six times as long (10; smoke 2)
  --agents N          agents of the call centre in the price part (1000; smoke 50) and in the console part (2000; smoke 50)
  --minutes N         how long the console part watches the page Wall in a browser (10; smoke 1)
  --cdrs N            CDRs in the read model of the capacity part (3000000, which takes a while; smoke 20000)

docs/benchmarks.md explains the figures.`

/** The loads that have a target. */
const LOADS = [
  [2_660, 0],
  [2_660, 20],
  [500, 0],
  [20, 0],
] as const

/** Parses the arguments. Returns undefined for `--help`. @throws Error that describes an invalid argument */
export function readArguments(args: readonly string[]): BenchOptions | undefined {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      smoke: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      only: text,
      bento: text,
      relay: { type: 'string', multiple: true, default: [] },
      rounds: text,
      count: text,
      'baseline-count': text,
      rates: text,
      delays: text,
      seconds: text,
      agents: text,
      minutes: text,
      cdrs: text,
    },
  })
  if (values.help) return undefined
  const { smoke, only, bento, relay } = values
  const part = PARTS.find((one) => one === only)
  if (only !== undefined && part === undefined) throw new Error(`--only takes ${PARTS.join(', ')}, not "${only}"`)
  if (bento !== undefined) checkFile('bento', bento, constants.X_OK)
  for (const file of relay) checkFile('relay', file, constants.R_OK)
  type Counted = 'rounds' | 'count' | 'baseline-count' | 'rates' | 'delays' | 'seconds' | 'agents' | 'minutes' | 'cdrs'
  const read = (name: Counted, usual: string, smokes: string): number[] =>
    (values[name] ?? (smoke ? smokes : usual)).split(',').map((one) => toCount(name, one))
  const readOne = (...what: Parameters<typeof read>): number => {
    const [count, ...more] = read(...what)
    if (more.length > 0 || count === undefined) throw new Error(`--${what[0]} takes one number`)
    return count
  }
  const rounds = readOne('rounds', '3', '1')
  if (rounds === 0) throw new Error('--rounds takes 1 or more')
  const isGrid = smoke || values.rates !== undefined || values.delays !== undefined
  const delays = read('delays', '0,20', '20')
  const grid = read('rates', '20,500,2660', '500').flatMap((rate) => delays.map((delayMs) => [rate, delayMs] as const))
  return {
    smoke,
    only: part,
    bento,
    relays: relay,
    rounds,
    counts: { relay: readOne('count', '200000', '20000'), baseline: readOne('baseline-count', '20000', '1000') },
    loads: (isGrid ? grid : LOADS).map(([rate, delayMs]) => ({ type: 'status', rate, delayMs })),
    seconds: readOne('seconds', '10', '2'),
    agents: readOne('agents', part === 'console' ? '2000' : '1000', '50'),
    minutes: readOne('minutes', '10', '1'),
    cdrs: readOne('cdrs', '3000000', '20000'),
  }
}

function checkFile(name: string, path: string, mode: number): void {
  try {
    accessSync(path, mode)
  } catch (error) {
    throw new Error(`--${name} ${path}: ${(error as Error).message}`, { cause: error })
  }
}

function toCount(name: string, text: string): number {
  const count = Number(text)
  if (text.trim() === '' || !Number.isInteger(count) || count < 0)
    throw new Error(`--${name} takes whole numbers, not "${text}"`)
  return count
}
