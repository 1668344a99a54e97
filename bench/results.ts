import type { CapacityFigures } from './measure-capacity.ts'
import type { ColdStart } from './measure-cold-start.ts'
import type { ConsoleFigures } from './measure-console.ts'
import type { DrainFigures } from './measure-drain.ts'
import type { IdleFigures } from './measure-idle.ts'
import type { KillFigures } from './measure-kills.ts'
import type { OutageFigures } from './measure-outage.ts'
import type { Price } from './measure-price.ts'
import type { Load, PubsubFigures } from './measure-pubsub.ts'
import type { ReplayFigures } from './measure-replay.ts'
import type { Subject } from './subject.ts'
import type { WallFigures } from './measure-wall.ts'

/** The figures of one subject, merged from all rounds. */
export type Result<Figures> = { readonly subject: Subject; readonly figures: Figures }

export type PubsubResult = Result<PubsubFigures> & { readonly load: Load }

/** Everything that a run has measured. */
export type Results = {
  readonly drain: Result<DrainFigures>[]
  readonly pubsub: PubsubResult[]
  readonly idle: Result<IdleFigures>[]
  readonly outage: Result<OutageFigures>[]
  readonly kill: Result<KillFigures>[]
  readonly cold: ColdStart[]
  readonly price: Price[]
  readonly capacity: CapacityFigures[]
  readonly console: ConsoleFigures[]
  readonly wall: WallFigures[]
  readonly replay: ReplayFigures[]
  /** The results of each relay with SQS, each followed by those of the same relay with an HTTP target. */
  readonly http: { readonly drain: Result<DrainFigures>[]; readonly pubsub: PubsubResult[] }
}

/** Returns the results of a run that has measured nothing yet. */
export const noResults = (): Results => ({
  drain: [],
  pubsub: [],
  idle: [],
  outage: [],
  kill: [],
  cold: [],
  price: [],
  capacity: [],
  console: [],
  wall: [],
  replay: [],
  http: { drain: [], pubsub: [] },
})

/** Figures for which the worst round counts instead of the median. */
const WORST: ReadonlySet<string> = new Set(['missing', 'copies', 'disorder', 'peakRssMb'])

/**
 * Measures the subjects in turn in each round, so that other load on the machine affects all of them equally. The baseline has no
 * target, so it is measured only once.
 */
export async function inTurn<Figures extends Readonly<Record<string, number>>>(
  subjects: readonly Subject[],
  rounds: number,
  measure: (subject: Subject) => Promise<Figures>,
): Promise<Result<Figures>[]> {
  const all = subjects.map((subject) => ({ subject, rounds: [] as Figures[] }))
  for (let round = 0; round < rounds; round++)
    for (const one of all)
      if (round === 0 || one.subject.kind !== 'baseline') one.rounds.push(await measure(one.subject))
  return all.map((one) => ({ subject: one.subject, figures: merge(one.rounds) }))
}

/** Returns the median of each figure, or the maximum of those in `WORST`. */
export function merge<Figures extends Readonly<Record<string, number>>>(rounds: readonly Figures[]): Figures {
  const names = Object.keys(rounds[0] ?? {})
  return Object.fromEntries(
    names.map((name) => {
      const values = rounds.map((figures) => figures[name] as number)
      return [name, WORST.has(name) ? Math.max(...values) : median(values)]
    }),
  ) as Figures
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
