import type { Route } from '../protocol/index.ts'
import { sleep, type Logger } from '../runtime/index.ts'
import type { Metrics } from './metrics.ts'

/** Notifications of a route that no room was left for, from the oldest to the newest. */
export type GivenUp = {
  readonly sourceId: string
  readonly route: string
  readonly fromMs: number
  readonly toMs: number
  readonly lost: number
}

export type GivenUpOptions = {
  readonly log: Logger
  readonly metrics: Metrics
  /** Announces it as a gap. */
  readonly announce: (lost: GivenUp) => void
  readonly signal: AbortSignal
}

/** What is given up in this time (ms) is announced together. */
const GATHER_MS = 5_000

/**
 * Counts what is given up, says so at once, and announces it as gaps. It happens only when SQS accepts nothing for so long that
 * the journal has reached its bound, or while the journal cannot be written and memory is full as well.
 */
export function createGivenUp({ log, metrics, announce, signal }: GivenUpOptions) {
  const gathered = new Map<string, GivenUp>()
  let gathering: Promise<void> | undefined

  const announceAll = () => {
    const all = [...gathered.values()]
    gathered.clear()
    for (const lost of all) {
      log.error(
        { code: 'relay.journal.given_up', source: lost.sourceId, route: lost.route, notifications: lost.lost },
        'No room is left in the journal or in memory: the relay discarded Pub/Sub notifications and announces a gap',
      )
      announce(lost)
    }
  }

  return {
    add(sourceId: string, route: Route, reason: 'journal_full' | 'memory_full', timeMs: number): void {
      metrics.givenUp.inc({ route: route.name, reason })
      const key = `${sourceId} ${route.name}`
      const former = gathered.get(key)
      gathered.set(key, {
        sourceId,
        route: route.name,
        fromMs: Math.min(former?.fromMs ?? timeMs, timeMs),
        toMs: Math.max(former?.toMs ?? timeMs, timeMs),
        lost: (former?.lost ?? 0) + 1,
      })
      gathering ??= sleep(GATHER_MS, signal).then(() => {
        gathering = undefined
        announceAll()
      })
    },
    /** At the end: what was gathered is announced now. */
    flush: announceAll,
  }
}

export type GivenUpLedger = ReturnType<typeof createGivenUp>
