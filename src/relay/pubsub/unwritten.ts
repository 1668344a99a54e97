import type { Route } from '../../protocol/index.ts'
import type { JournalEntry } from '../journal/journal.ts'
import type { Stamped } from '../notification/stamp.ts'

/** What was heard and is not written yet. */
export type Heard = { readonly stamped: Stamped; readonly entry: JournalEntry }

/** So many are written at once when the journal can be written again: a try that fails again costs no more. */
const PORTION = 1_000

/**
 * What was heard while the journal could not be written. What went into its lane all the same waits here for a row; what may not
 * overtake rows of its route that are not read back yet waits here as a whole.
 */
export function createUnwritten() {
  /** In lanes, by a place of their own: a negative number, in the order in which they were heard. */
  const rowless = new Map<number, Heard>()
  /** The rows of those that were written since. */
  const rows = new Map<number, number>()
  let waiting: Heard[] = []
  let bytes = 0
  let place = 0

  return {
    /** It goes into its lane, with this place. */
    addToLane(one: Heard): number {
      rowless.set(--place, one)
      bytes += one.stamped.bytes
      return place
    },
    /** It waits for the rows of its route. */
    addWaiting(one: Heard): void {
      waiting.push(one)
      bytes += one.stamped.bytes
    },
    /** Takes out what waits of this route, in order. */
    takeOf(route: Route): Heard[] {
      const taken = waiting.filter(({ stamped }) => stamped.route === route)
      if (taken.length > 0) waiting = waiting.filter(({ stamped }) => stamped.route !== route)
      for (const { stamped } of taken) bytes -= stamped.bytes
      return taken
    },
    /** The one with this place is settled. Returns its row, if it has one by now. */
    settle(settled: number): number | undefined {
      const one = rowless.get(settled)
      if (one !== undefined) bytes -= one.stamped.bytes
      rowless.delete(settled)
      const row = rows.get(settled)
      rows.delete(settled)
      return row
    },
    /**
     * Gives all of it to `write`, in order and in portions, until that returns undefined. `onRow` is called for each that waited and
     * has a row now. Returns whether nothing is left.
     */
    writeAll(
      write: (entries: readonly JournalEntry[]) => readonly number[] | undefined,
      onRow: (one: Heard, row: number) => void,
    ): boolean {
      while (rowless.size > 0) {
        const portion = [...rowless].slice(0, PORTION)
        const written = write(portion.map(([, { entry }]) => entry))
        if (written === undefined) return false
        for (const [index, [at, { stamped }]] of portion.entries()) {
          rowless.delete(at)
          rows.set(at, written[index] as number)
          bytes -= stamped.bytes
        }
      }
      while (waiting.length > 0) {
        const portion = waiting.slice(0, PORTION)
        const written = write(portion.map(({ entry }) => entry))
        if (written === undefined) return false
        waiting = waiting.slice(PORTION)
        for (const [index, one] of portion.entries()) {
          bytes -= one.stamped.bytes
          onRow(one, written[index] as number)
        }
      }
      return true
    },
    /** Of all that is here: in lanes it is there a second time. */
    get bytes() {
      return bytes
    },
    get size() {
      return rowless.size + waiting.length
    },
  }
}
