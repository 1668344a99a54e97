import { UNREADABLE, type Entry } from '../parking/parked-entry.ts'

/** Which entries are meant; what is absent does not matter. */
export type Filter = {
  readonly ids?: ReadonlySet<string> | undefined
  /** `too_large`, `refused`, or `unreadable` for what is no entry of a relay's. */
  readonly reason?: string | undefined
  /** Put aside at this time (ms) or later. When an unreadable one came is not known: it is not meant. */
  readonly sinceMs?: number | undefined
}

export function matches(entry: Entry, { ids, reason, sinceMs }: Filter): boolean {
  if (ids !== undefined && !ids.has(entry.id)) return false
  if (reason !== undefined && reason !== (entry.kind === 'parked' ? entry.reason : UNREADABLE)) return false
  return sinceMs === undefined || (entry.kind === 'parked' && Date.parse(entry.parkedat) >= sinceMs)
}
