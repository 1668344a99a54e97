import type { JournalEntry, JournalRow } from '../journal/journal-row.ts'
import type { Stamped } from '../notification/stamp.ts'

/** What was heard, or is said by the relay itself. */
export type Heard = { readonly stamped: Stamped; readonly entry: JournalEntry }

type Kept = Pick<JournalEntry, 'sourceId' | 'route' | 'timeMs'>

/**
 * What was heard while the journal could not be written. It gets no row: it is sent from memory, and lost with the process. What may not
 * overtake rows of its route that are not read back yet waits here for them; its number tells its place among them.
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
      waiting
        .set(route, waiting.get(route) ?? [])
        .get(route)
        ?.push(one)
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
    /** What SQS has not accepted. */
    left: (): Kept[] => [...sent, ...[...waiting.values()].flat().map(({ entry }) => entry)],
    /** Of what waits here. */
    get bytes() {
      return bytes
    },
  }
}
