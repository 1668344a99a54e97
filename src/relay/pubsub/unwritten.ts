import { sleep } from '../../runtime/index.ts'
import type { Stamped } from '../item.ts'
import { addTo, toGivenUp, type JournalEntry, type JournalRow, type Lost } from '../journal/journal-row.ts'
import type { SourceTools } from '../source.ts'

/** What was heard, or is said by the relay itself. */
export type Heard = { readonly stamped: Stamped; readonly entry: JournalEntry }

type Kept = Pick<JournalEntry, 'sourceId' | 'route' | 'timeMs'>

/**
 * What was heard while the journal could not be written. It gets no row: it is sent from memory, and lost with the process. What may not
 * overtake rows of its route that are not read back yet waits here for them; its number tells its position among them.
 */
export function createUnwritten() {
  const sent = new Set<Kept>()
  const waiting = new Map<string, (Heard & JournalRow)[]>()
  let bytes = 0

  return {
    /** It goes into its lane. Returns what to call when it is settled. */
    send({ sourceId, route, timeMs }: JournalEntry): () => void {
      const kept = { sourceId, route, timeMs }
      sent.add(kept)
      return () => void sent.delete(kept)
    },
    wait(one: Heard & JournalRow): void {
      const { route } = one.entry
      const ofRoute = waiting.get(route) ?? []
      ofRoute.push(one)
      waiting.set(route, ofRoute)
      bytes += one.stamped.bytes
    },
    /** Takes out what waits of a route and was heard before this row, in order. */
    takeBefore(route: string, row: number): (Heard & JournalRow)[] {
      const all = waiting.get(route) ?? []
      const behind = all.findIndex((one) => one.row > row)
      const taken = all.splice(0, behind === -1 ? all.length : behind)
      for (const { stamped } of taken) bytes -= stamped.bytes
      return taken
    },
    /** What no target has accepted. */
    left: (): Kept[] => [...sent, ...[...waiting.values()].flat().map(({ entry }) => entry)],
    /** Of what waits here. */
    get bytes() {
      return bytes
    },
  }
}

/** Losses within this time (ms) are announced together. */
const GATHER_MS = 5_000

/**
 * Counts notifications that are given up, and has them announced as gaps. It happens only when a target accepts nothing for so long that the
 * journal has reached its bound, or while the journal cannot be written and memory is full as well. What the journal gave up is in its
 * ledger, from the transaction that deleted it until the one that writes the notice of the gap; the rest is here until the journal can be
 * written. Calls `onDue` when losses are to be announced.
 */
export function createGivenUp(tools: Pick<SourceTools, 'log' | 'metrics'>, onDue: () => void, signal: AbortSignal) {
  const { log, metrics } = tools
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
    add(entry: Kept): void {
      const lost = toGivenUp(entry)
      addTo(unwritten, lost)
      count(lost, 'memory_full')
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
