import { parseArgs } from 'node:util'

const PARTS = ['drain', 'pubsub', 'outage', 'baseline', 'cold'] as const

export type BenchOptions = {
  readonly smoke: boolean
  /** Undefined: all of them. */
  readonly only: (typeof PARTS)[number] | undefined
  /** CDRs that are drained. */
  readonly counts: { readonly relay: number; readonly baseline: number }
  /** PubSub notifications per second. */
  readonly rates: readonly number[]
  /** The longest delays (ms) of SQS' answers on PubSub. */
  readonly delays: readonly number[]
  /** How long each rate is kept up. */
  readonly seconds: number
}

export const HELP = `npm run bench -- [options]: the relay and the script that everybody writes, in one run; an outage of SQS; cold starts of the bundles; exits
with 1 when the relay lost something or sent it out of order

  --smoke             small counts, a quarter of a minute
  --only PART         ${PARTS.join(', ')} (all)
  --count N           CDRs in the relay's drain (200000; smoke 20000)
  --baseline-count N  CDRs in the baseline's drain (20000; smoke 1000)
  --rates a,b         notifications per second on PubSub (20,500,2660; smoke 500)
  --delays a,b        the longest delay (ms) of SQS' answer on PubSub (0,20; smoke 20)
  --seconds N         how long each rate is kept up (10; smoke 2)

What the figures mean: docs/benchmarks.md`

/** Undefined when help was asked for. @throws Error that says what is wrong */
export function readArguments(args: readonly string[]): BenchOptions | undefined {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      smoke: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      only: text,
      count: text,
      'baseline-count': text,
      rates: text,
      delays: text,
      seconds: text,
    },
  })
  if (values.help) return undefined
  const { smoke, only } = values
  const part = PARTS.find((one) => one === only)
  if (only !== undefined && part === undefined) throw new Error(`--only takes ${PARTS.join(', ')}, not "${only}"`)
  const read = (name: Exclude<keyof typeof values, 'smoke' | 'help'>, usual: string, smokes: string): number[] =>
    (values[name] ?? (smoke ? smokes : usual)).split(',').map((one) => toCount(name, one))
  const readOne = (...what: Parameters<typeof read>): number => {
    const [count, ...more] = read(...what)
    if (more.length > 0 || count === undefined) throw new Error(`--${what[0]} takes one number`)
    return count
  }
  return {
    smoke,
    only: part,
    counts: { relay: readOne('count', '200000', '20000'), baseline: readOne('baseline-count', '20000', '1000') },
    rates: read('rates', '20,500,2660', '500'),
    delays: read('delays', '0,20', '20'),
    seconds: readOne('seconds', '10', '2'),
  }
}

function toCount(name: string, text: string): number {
  const count = Number(text)
  if (text.trim() === '' || !Number.isInteger(count) || count < 0)
    throw new Error(`--${name} takes whole numbers, not "${text}"`)
  return count
}
