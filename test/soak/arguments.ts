import { parseArgs } from 'node:util'
import { FAULT_KINDS, faultsWith, SOAK_TARGETS, type FaultKind, type SoakTarget } from './faults.ts'

export type SoakOptions = {
  readonly minutes: number
  /** Run only the first seconds of the plan. */
  readonly seconds: number | undefined
  readonly seed: number
  readonly target: SoakTarget
  readonly kinds: readonly FaultKind[]
  readonly rate: number
  /** The number of fuzz samples to send after the soak. */
  readonly fuzz: number
  /** Print the plan and do nothing. */
  readonly plan: boolean
}

const FUZZ_PER_MINUTE = 10_000
const FUZZ_MOST = 100_000

export const HELP = `npm run soak -- [options]: runs the street under random faults and random load; exits with 1 if a guarantee is broken

  --minutes M      duration (1)
  --seconds N      only the first N seconds of the plan for that duration, to repeat a failure early in a long run
  --seed S         the random seed; the same seed gives the same plan (1)
  --target T       where the relay sends: sqs, http, or mixed, with each route on one of the two by the seed (mixed)
  --faults a,b     only faults whose names begin with one of these: redis,sqs-hang (all)
  --rate R         multiplies the load; 1 has bursts of 20,000 CDRs a second (1)
  --fuzz N         number of random and mutated packets to send afterwards (${FUZZ_PER_MINUTE} for each minute, ${FUZZ_MOST} at most)
  --plan           prints the plan, and runs nothing

Faults: ${FAULT_KINDS.join(', ')}`

/** Parses the arguments. Returns undefined for `--help`. @throws Error that describes an invalid argument */
export function readArguments(args: readonly string[]): SoakOptions | undefined {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: text,
      seconds: text,
      seed: text,
      target: text,
      faults: text,
      rate: text,
      fuzz: text,
      plan: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const minutes = toNumber('minutes', values.minutes ?? '1')
  const target = toTarget(values.target ?? 'mixed')
  return {
    minutes,
    seconds: values.seconds === undefined ? undefined : toNumber('seconds', values.seconds),
    seed: toNumber('seed', values.seed ?? '1'),
    target,
    kinds: values.faults === undefined ? faultsWith(target) : toKinds(values.faults, target),
    rate: toNumber('rate', values.rate ?? '1'),
    fuzz: toNumber('fuzz', values.fuzz ?? String(Math.min(FUZZ_MOST, Math.round(minutes * FUZZ_PER_MINUTE)))),
    plan: values.plan,
  }
}

function toNumber(name: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new Error(`--${name} takes a number, not "${text}"`)
  return value
}

function toTarget(text: string): SoakTarget {
  const target = SOAK_TARGETS.find((one) => one === text)
  if (target === undefined) throw new Error(`--target takes one of ${SOAK_TARGETS.join(', ')}, not "${text}"`)
  return target
}

function toKinds(text: string, target: SoakTarget): FaultKind[] {
  const known = faultsWith(target)
  return text
    .split(',')
    .filter((part) => part !== '' && part !== 'none')
    .flatMap((part) => {
      const kinds = known.filter((kind) => kind === part || kind.startsWith(`${part}-`))
      if (kinds.length === 0)
        throw new Error(`--faults: there is no "${part}" with --target ${target}; there are ${known.join(', ')}`)
      return kinds
    })
}
