import type { Part } from '../street/crew.ts'
import { quantile, type Figures } from '../street/street-figures.ts'

/** What the user sees of the street. */
export type View = {
  /** A part runs. */
  part: (part: Part) => void
  /** A line that stays: a warning, a notification, what a function prints. */
  line: (text: string) => void
  /** A second has gone by. */
  figures: (figures: Figures) => void
  /** Leaves what was shown last, and the terminal as it was. */
  close: () => void
}

/** Where a view writes. */
export type Output = { write: (text: string) => unknown }

/** Delays are told over this many readings: of a single second with three notifications no percentile says anything. */
const DELAY_READINGS = 10

/** Makes what a view shows of the second that has gone by out of one reading after another. */
export function createRates() {
  const readings: Figures[] = []
  return (figures: Figures) => {
    const last = new Map(readings.at(-1)?.routes.map((route) => [route.name, route]))
    const from = readings.length === DELAY_READINGS ? readings.shift() : undefined
    readings.push(figures)
    const ms = (buckets: 'relayDelay' | 'handledDelay', q: number) => {
      const seconds = quantile(from?.[buckets] ?? [], figures[buckets], q)
      return seconds === undefined ? undefined : seconds * 1_000
    }
    return {
      routes: figures.routes.map(({ name, received, handled }) => ({
        name,
        received: received - (last.get(name)?.received ?? 0),
        handled: handled - (last.get(name)?.handled ?? 0),
      })),
      /** ms over the last seconds; undefined when nothing went through. */
      relayP50: ms('relayDelay', 0.5),
      relayP99: ms('relayDelay', 0.99),
      handledP50: ms('handledDelay', 0.5),
      handledP99: ms('handledDelay', 0.99),
    }
  }
}

export type Rates = ReturnType<ReturnType<typeof createRates>>
