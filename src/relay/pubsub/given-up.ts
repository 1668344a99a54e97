import { sleep, type Logger } from '../../runtime/index.ts'
import { addTo, toGivenUp, type JournalEntry, type Lost } from '../journal/journal-row.ts'
import type { Metrics } from '../metrics.ts'

export type GivenUpOptions = {
  readonly log: Logger
  readonly metrics: Metrics
  /** Called when losses are to be announced. */
  readonly onDue: () => void
  readonly signal: AbortSignal
}

/** Losses within this time (ms) are announced together. */
const GATHER_MS = 5_000

/**
 * Counts notifications that are given up, and has them announced as gaps. It happens only when SQS accepts nothing for so long that the
 * journal has reached its bound, or while the journal cannot be written and memory is full as well. What the journal gave up is in its
 * ledger, from the transaction that deleted it until the one that writes the notice of the gap; the rest is here until the journal can be
 * written.
 */
export function createGivenUp({ log, metrics, onDue, signal }: GivenUpOptions) {
  const unwritten = new Map<string, Lost>()
  let gathering: Promise<void> | undefined

  const schedule = () => {
    gathering ??= sleep(GATHER_MS, signal).then(() => {
      gathering = undefined
      if (!signal.aborted) onDue()
    })
  }
  const count = (lost: Lost, reason: 'journal_full' | 'memory_full') => {
    metrics.givenUp.inc({ route: lost.route, reason }, lost.lost)
    if (gathering === undefined)
      log.error(
        { code: 'relay.journal.given_up', source: lost.sourceId, route: lost.route, notifications: lost.lost, reason },
        'No room is left in the journal or in memory: the relay discards Pub/Sub notifications and announces a gap',
      )
    schedule()
  }

  return {
    /** The journal gave these up: they are in its ledger. */
    count: (lost: Lost): void => count(lost, 'journal_full'),
    /** One that neither the journal nor memory has room for. */
    add(entry: Pick<JournalEntry, 'sourceId' | 'route' | 'timeMs'>): void {
      addTo(unwritten, toGivenUp(entry))
      count(toGivenUp(entry), 'memory_full')
    },
    /** What the journal's ledger does not have yet. */
    unwritten: (): readonly Lost[] => [...unwritten.values()],
    /** It is in the ledger, or announced. */
    written: (): void => unwritten.clear(),
    /** Announces it later. */
    schedule,
  }
}

export type GivenUpLedger = ReturnType<typeof createGivenUp>
