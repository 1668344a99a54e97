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
  /** Undefined: all of them. */
  readonly only: (typeof PARTS)[number] | undefined
  /** The user's Bento. */
  readonly bento: string | undefined
  /** Single files that are measured in place of the clone's own. */
  readonly relays: readonly string[]
  /** How often each measurement is repeated. */
  readonly rounds: number
  /** CDRs that are drained. */
  readonly counts: { readonly relay: number; readonly baseline: number }
  /** What is published on Pub/Sub. */
  readonly loads: readonly Load[]
  /** How long each rate is kept up. */
  readonly seconds: number
  /** Size of the call centre whose price is measured, or that the console shows. */
  readonly agents: number
  /** How long the console shows it. */
  readonly minutes: number
  /** CDRs in the read model whose capacity is measured. */
  readonly cdrs: number
}

export const HELP = `npm run bench -- [options]: measures the relay's single file, and prints each figure with its target and a verdict. Beside it, in the
same run: the floor, the script that everybody writes and, if you have it, Bento. Exits with 1 when the relay lost something or sent it out of order.

  --smoke             small counts, half a minute, no verdicts
  --only PART         ${PARTS.join(', ')} (all)
  --bento PATH        a Bento binary to measure as well
  --relay FILE        measures this single file, not the clone's; a second one is measured in turn with it
  --rounds N          how often each measurement is repeated, all subjects in turn (3; smoke 1)
  --count N           CDRs in the drain of the relay and Bento (200000; smoke 20000)
  --baseline-count N  CDRs in the drain of the baseline (20000; smoke 1000)
  --rates a,b         notifications per second on Pub/Sub (those of the table; smoke 500)
  --delays a,b        the longest delay (ms) of SQS' answer on Pub/Sub (those of the table; smoke 20)
  --seconds N         how long each rate is kept up, and six times as long the call centre of the price is played (10; smoke 2)
  --agents N          size of the call centre whose price is measured (1000; smoke 50), or that the console shows (2000; smoke 50)
  --minutes N         how long a browser shows the call centre in the console (10; smoke 1)
  --cdrs N            CDRs in the read model whose capacity is measured (3000000, which takes a while; smoke 20000)

What the figures mean: docs/benchmarks.md`

/** The loads that have a target. */
const LOADS = [
  [2_660, 0],
  [2_660, 20],
  [500, 0],
  [20, 0],
] as const

/** Returns undefined if help was asked for. @throws Error that says what is wrong */
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
