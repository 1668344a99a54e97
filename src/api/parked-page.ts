import { formatCursor, parsePlace, type ParkedRecord } from '../store/index.ts'
import type { ParkedItem } from './schemas/parked.ts'

type Page = { readonly items: ParkedItem[]; readonly next: string | null }

export type PageRequest = { readonly cursor?: string | undefined; readonly limit: number }

/** What the relay put aside, as the API shows it. */
export function toParkedItem({ notification_id, ...record }: ParkedRecord): ParkedItem {
  const unknown = {
    subject: null,
    status: null,
    handler: null,
    attempts: null,
    first_attempt_at: null,
    message_id: null,
  }
  return { from: 'relay', notification_ids: [notification_id], ...record, ...unknown }
}

type Position = { readonly ms: number; readonly id: string }

const positionOf = (item: ParkedItem): Position => ({
  ms: Date.parse(item.parked_at),
  id: item.message_id ?? item.notification_ids[0] ?? '',
})

/** Newest first; of the same moment by id, as the read model does. */
const compare = (a: Position, b: Position): number => b.ms - a.ms || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0)

/**
 * One page of both lists, newest first. `relay` is a page of the read model behind the cursor, `letters` all that lies in the dead-letter
 * queues, in any order. A cursor is the place of the last item in the order of both, so it is one for the read model too.
 */
export function mergePage(relay: Page, letters: readonly ParkedItem[], { cursor, limit }: PageRequest): Page {
  const after = cursor === undefined ? undefined : parsePlace(cursor)
  // Behind the end of the read model's page, more of it may come before the next letter.
  const horizon = relay.next === null ? undefined : parsePlace(relay.next)
  const isOnPage = (at: Position) =>
    (after === undefined || compare(after, at) < 0) && (horizon === undefined || compare(at, horizon) <= 0)
  const all = [...relay.items, ...letters.filter((letter) => isOnPage(positionOf(letter)))].toSorted((a, b) =>
    compare(positionOf(a), positionOf(b)),
  )
  const items = all.slice(0, limit)
  const last = items.at(-1)
  if (all.length <= limit || last === undefined) return { items, next: relay.next }
  const { ms, id } = positionOf(last)
  return { items, next: formatCursor([ms, id]) }
}
