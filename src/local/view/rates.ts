import { quantile, type Figures } from '../street/figures.ts'

/** What a view shows of the second that has gone by. */
export type Rates = {
  readonly routes: readonly { readonly name: string; readonly received: number; readonly handled: number }[]
  /** ms over the last seconds; undefined when nothing went through. */
  readonly relayP50: number | undefined
  readonly relayP99: number | undefined
  readonly handledP50: number | undefined
  readonly handledP99: number | undefined
}

/** Delays are told over this many readings: of a single second with three notifications no percentile says anything. */
const DELAY_READINGS = 10

const NOTHING: Figures = {
  routes: [],
  relayDelay: [],
  handledDelay: [],
  backlog: 0,
  parked: 0,
  gaps: 0,
  sends: 0,
  invocations: 0,
}

/** Makes rates out of one reading after another. */
export function createRates(): (figures: Figures) => Rates {
  const readings: Figures[] = [NOTHING]
  return (figures) => {
    const last = new Map(readings.at(-1)?.routes.map((route) => [route.name, route]))
    const from = readings[0] as Figures
    readings.push(figures)
    if (readings.length > DELAY_READINGS) readings.shift()
    const ms = (buckets: 'relayDelay' | 'handledDelay', q: number) => {
      const seconds = quantile(from[buckets], figures[buckets], q)
      return seconds === undefined ? undefined : seconds * 1_000
    }
    return {
      routes: figures.routes.map(({ name, received, handled }) => ({
        name,
        received: received - (last.get(name)?.received ?? 0),
        handled: handled - (last.get(name)?.handled ?? 0),
      })),
      relayP50: ms('relayDelay', 0.5),
      relayP99: ms('relayDelay', 0.99),
      handledP50: ms('handledDelay', 0.5),
      handledP99: ms('handledDelay', 0.99),
    }
  }
}
