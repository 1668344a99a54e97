import type { Route } from '../protocol/index.ts'
import type { JournalEntry } from './journal.ts'
import type { Stamped } from './stamp.ts'

/** What was heard and is not written yet. */
export type Heard = { readonly stamped: Stamped; readonly entry: JournalEntry }

/** Heard while the journal could not be written, of routes with rows in it that are not read back yet: it may not overtake them. */
export function createUnwritten() {
  let all: Heard[] = []
  let bytes = 0
  return {
    add(one: Heard): void {
      all.push(one)
      bytes += one.stamped.bytes
    },
    /** Takes out what is of this route, in order. */
    takeOf(route: Route): Heard[] {
      const taken = all.filter(({ stamped }) => stamped.route === route)
      if (taken.length > 0) all = all.filter(({ stamped }) => stamped.route !== route)
      for (const { stamped } of taken) bytes -= stamped.bytes
      return taken
    },
    clear(): void {
      all = []
      bytes = 0
    },
    get all(): readonly Heard[] {
      return all
    },
    get bytes() {
      return bytes
    },
  }
}
