import { RELAY_TYPE, type Route } from '../../protocol/index.ts'
import type { Journal } from './journal.ts'
import { addTo, toGivenUp, type Lost } from './journal-row.ts'

export type TrimOptions = {
  readonly journal: Journal
  /** Bytes on disk that the journal may use. */
  readonly maxBytes: number
  /** Called with what is in the ledger now. */
  readonly onGivenUp: (lost: Lost) => void
}

/** So many bytes of packets go at once: few enough to wait for. */
export const TRIM_BYTES = 64 * 1024

/** Of a table: the route that its notifications went to last, and from behind which row on they are not in memory. */
export type Behind = { route: Route; row: number }

/**
 * Keeps the journal within its bound. The oldest of the routes with `maxAgeMs` go first, since they are worthless by then; when there
 * are no such, the oldest of all. Only what is in the journal alone can go: `behind` says from which row on. The transaction that deletes
 * them notes in the journal's ledger that they are lost. Returns whether any went.
 */
export function trimJournal(
  behind: ReadonlyMap<string, Behind>,
  { journal, maxBytes, onGivenUp }: TrimOptions,
): boolean {
  if (behind.size === 0 || journal.size().bytes <= maxBytes) return false
  for (const isAging of [true, false]) {
    const [oldest] = [...behind]
      .filter(([, { route }]) => route.type !== RELAY_TYPE && (route.maxAgeMs !== undefined) === isAging)
      .flatMap(([name, { row }]) => journal.read(name, row, 0))
      .toSorted((a, b) => a.entry.timeMs - b.entry.timeMs)
    if (oldest === undefined) continue
    const { route } = oldest.entry
    const rows = journal.read(route, oldest.row - 1, TRIM_BYTES)
    const bySource = new Map<string, Lost>()
    for (const { entry } of rows) addTo(bySource, toGivenUp(entry))
    const lost = [...bySource.values()]
    journal.write({ settled: new Map([[route, [[oldest.row, rows.at(-1)?.row ?? oldest.row]]]]), lost })
    for (const one of lost) onGivenUp(one)
    return true
  }
  return false
}
