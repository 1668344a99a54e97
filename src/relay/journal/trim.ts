import { RELAY_TYPE, type Route } from '../../protocol/index.ts'
import type { GivenUpLedger } from '../pubsub/given-up.ts'
import type { Journal } from './journal.ts'
import { addTo, type Lost } from './journal-row.ts'

export type TrimOptions = {
  readonly journal: Journal
  /** Bytes on disk that the journal may use. */
  readonly maxBytes: number
  readonly givenUp: GivenUpLedger
}

/** So many rows go at once: few enough to wait for. */
export const TRIM_ROWS = 500

/**
 * Keeps the journal within its bound. The oldest of the routes with `maxAgeMs` go first, since they are worthless by then; when there
 * are no such, the oldest of all. Only what is in the journal alone can go: `behind` says from which row on. The transaction that deletes
 * them notes in the journal's ledger that they are lost. Returns whether any went.
 */
export function trimJournal(behind: ReadonlyMap<Route, number>, { journal, maxBytes, givenUp }: TrimOptions): boolean {
  if (journal.size().bytes <= maxBytes) return false
  const routes = [...behind.keys()].filter((route) => route.type !== RELAY_TYPE)
  const aging = routes.filter((route) => route.maxAgeMs !== undefined)
  for (const candidates of [aging, routes.filter((route) => !aging.includes(route))]) {
    const [first] = candidates
      .map((route) => ({ route, rows: journal.oldest(route.name, behind.get(route) ?? 0, TRIM_ROWS) }))
      .filter(({ rows }) => rows.length > 0)
      .toSorted((a, b) => (a.rows[0]?.row ?? 0) - (b.rows[0]?.row ?? 0))
    if (first === undefined) continue
    const bySource = new Map<string, Lost>()
    for (const { sourceId, timeMs } of first.rows)
      addTo(bySource, {
        sourceId,
        route: first.route.name,
        cause: 'journal_full',
        fromMs: timeMs,
        toMs: timeMs,
        lost: 1,
      })
    const lost = [...bySource.values()]
    journal.write(
      [],
      first.rows.map(({ row }) => row),
      undefined,
      { add: lost },
    )
    for (const one of lost) givenUp.count(one)
    return true
  }
  return false
}
