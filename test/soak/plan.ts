import { createRandom, type Random } from '../../src/simulator/random.ts'
import { faultOf, TRACKS, type FaultKind, type SoakTarget, type Track } from './faults.ts'
import { SOAK_ROUTES } from './packets.ts'

/** A planned fault. `seed` determines its own random choices. */
export type PlannedFault = {
  readonly kind: FaultKind
  readonly track: Track
  readonly atMs: number
  readonly lastsMs: number
  readonly seed: number
}

/** The rates per second from `atMs` until the next step. */
export type LoadStep = {
  readonly atMs: number
  readonly main: number
  readonly shared: number
  readonly pubsub: number
}

/** All planned random choices of a soak. The same seed, target, minutes, kinds and rate give the same plan. Times are ms since its start. */
export type Plan = {
  readonly lastsMs: number
  readonly faults: readonly PlannedFault[]
  readonly load: readonly LoadStep[]
  /** The routes that the relay sends to the HTTP server. `all` includes the relay's notices. */
  readonly onHttp: 'all' | readonly string[]
}

export type PlanOptions = {
  readonly minutes: number
  /** Plan only the first seconds of the run. */
  readonly seconds?: number | undefined
  readonly seed: number
  readonly target: SoakTarget
  readonly kinds: readonly FaultKind[]
  /** Multiplies all rates. 1: bursts of 20,000 CDRs a second. */
  readonly rate: number
}

/** The time without faults at the beginning and at the end. */
const CALM_MS = 2_000

/** The minimum and maximum pause between two faults of a track. */
const PAUSE_MS = {
  relay: [2_000, 5_000],
  redis: [1_500, 3_500],
  sqs: [1_000, 3_000],
  functions: [1_000, 3_000],
  http: [1_000, 3_000],
} as const

export function makePlan({ minutes, seconds, seed, target, kinds, rate }: PlanOptions): Plan {
  const lastsMs = Math.round(minutes * 60_000)
  const faults = TRACKS.flatMap((track, index) =>
    planTrack(
      kinds.filter((kind) => faultOf(kind).track === track),
      createRandom(seed * 8 + index),
      PAUSE_MS[track],
      lastsMs - CALM_MS,
      (track === 'sqs' || track === 'http') && minutes >= LONG_MINUTES,
    ),
  )
  const untilMs = Math.min(lastsMs, (seconds ?? Infinity) * 1_000)
  const early = faults.filter(({ atMs }) => atMs < untilMs - CALM_MS)
  return {
    lastsMs: untilMs,
    faults: early.toSorted((a, b) => a.atMs - b.atMs),
    load: endLoad(planLoad(createRandom(seed * 8 + 7), rate, lastsMs), untilMs),
    onHttp: planRoutes(target, createRandom(seed * 8 + 6)),
  }
}

function planRoutes(target: SoakTarget, random: Random): Plan['onHttp'] {
  if (target !== 'mixed') return target === 'http' ? 'all' : []
  return shuffle(SOAK_ROUTES, random).slice(0, random.whole(1, SOAK_ROUTES.length - 1))
}

/** In runs of at least `LONG_MINUTES`, some target faults last `LONG_MS`, while faults of the relay and Redis continue. */
const LONG_MINUTES = 10
const LONG_MS = 20_000
const LONG_CHANCE = 0.15

/** Plans each kind once in random order before any kind recurs, so that even a short run covers most kinds. */
function planTrack(
  kinds: readonly FaultKind[],
  random: Random,
  [leastMs, mostMs]: readonly [number, number],
  endMs: number,
  hasLong: boolean,
): PlannedFault[] {
  const planned: PlannedFault[] = []
  let deck: FaultKind[] = []
  let atMs = CALM_MS
  while (kinds.length > 0) {
    atMs += random.between(leastMs, mostMs)
    if (deck.length === 0) deck = shuffle(kinds, random)
    const kind = deck.pop() as FaultKind
    const { track, span } = faultOf(kind)
    const lastsMs = hasLong && random.chance(LONG_CHANCE) ? LONG_MS : Math.round(random.between(...span))
    if (atMs + lastsMs > endMs) return planned
    planned.push({ kind, track, atMs: Math.round(atMs), lastsMs, seed: random.whole(0, 2 ** 31) })
    atMs += lastsMs
  }
  return planned
}

function shuffle<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, by: random.next() }))
    .toSorted((a, b) => a.by - b.by)
    .map(({ item }) => item)
}

/** Plans a low load with bursts of a fraction of a second on one of the lists. */
function planLoad(random: Random, rate: number, endMs: number): LoadStep[] {
  const steps: LoadStep[] = []
  const add = (atMs: number, main: number, shared: number, pubsub: number) =>
    steps.push({
      atMs: Math.round(atMs),
      main: Math.round(main * rate),
      shared: Math.round(shared * rate),
      pubsub: Math.round(pubsub * rate),
    })
  for (let atMs = 0; atMs < endMs;) {
    const [main, shared, pubsub] = [random.between(50, 400), random.between(20, 150), random.between(100, 400)]
    add(atMs, main, shared, pubsub)
    atMs += random.between(1_500, 6_000)
    const lastsMs = random.between(80, 300)
    if (random.chance(0.7)) add(atMs, random.between(5_000, 20_000), shared, pubsub * 2)
    else add(atMs, main, random.between(1_000, 5_000), pubsub * 4)
    atMs += lastsMs
  }
  return steps
}

/** Adds a last step without load: a step lasts until the next one, and the last faults may continue after the end. */
const endLoad = (load: readonly LoadStep[], untilMs: number): LoadStep[] => [
  ...load.filter(({ atMs }) => atMs < untilMs),
  { atMs: untilMs, main: 0, shared: 0, pubsub: 0 },
]
