import type { Route } from '../../protocol/index.ts'
import type { Claim } from './claims.ts'
import type { Kept } from './open-claims.ts'
import type { Keeper } from '../item.ts'
import type { Metrics } from '../metrics.ts'
import type { Sender } from '../sender/sender.ts'
import { toItem, type Stamp } from '../notification/stamp.ts'

export type ListIntakeOptions = {
  readonly sourceId: string
  readonly senders: ReadonlyMap<Route, Sender>
  readonly metrics: Metrics
  readonly stamp: Stamp
  /** Bytes of items in memory beyond which nothing more is taken from a list. */
  readonly listBytes: number
}

/** What may be taken from a list now. */
export type Room = { readonly items: number; readonly bytes: number }

/** Items of one list that Redis holds in claims: at most so many are sent again after a crash. */
const MAX_LIST_ITEMS = 6_000

/** With room for fewer items than this, settled items leave the claims of a list soon. */
const SHORT_ITEMS = 500

/**
 * Items of one source on their way from claims into lanes. Their claim keeps them. What is taken is bounded for each list by itself, in
 * items and in bytes, so that a list whose queue accepts nothing, or whose items are large, leaves room for the others.
 */
export function createListIntake({ sourceId, senders, metrics, stamp, listBytes }: ListIntakeOptions) {
  const itemsOf = new Map<string, number>()
  const bytesOf = new Map<string, number>()
  const waiting = new Set<() => void>()
  const add = (counts: Map<string, number>, list: string, more: number) =>
    counts.set(list, (counts.get(list) ?? 0) + more)
  const roomOf = (list: string): Room => ({
    items: MAX_LIST_ITEMS - (itemsOf.get(list) ?? 0),
    bytes: listBytes - (bytesOf.get(list) ?? 0),
  })
  const onRoom = () => {
    for (const look of waiting) look()
  }

  return {
    /** Resolves with how much may be taken from a list, as soon as that is anything, or when the signal aborts. */
    room: async (list: string, signal: AbortSignal): Promise<Room> => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const look = () => {
        const { items, bytes } = roomOf(list)
        if ((items > 0 && bytes > 0) || signal.aborted) resolve()
      }
      waiting.add(look)
      signal.addEventListener('abort', look)
      look()
      try {
        await promise
      } finally {
        waiting.delete(look)
        signal.removeEventListener('abort', look)
      }
      return roomOf(list)
    },
    /** Lets waiting lists check for room again: senders have sent something. */
    onRoom,
    /** Whether little more of this list may be taken, because Redis holds many of its items in claims. */
    isShort: (list: string): boolean => roomOf(list).items < SHORT_ITEMS,
    /** Redis holds so many items more (or less) of this list in claims. */
    hold(list: string, more: number): void {
      add(itemsOf, list, more)
      if (more < 0) onRoom()
    },
    /** Puts the items of a claim in their lanes. */
    take({ list, number, takenMs, maxWaitMs, items, keeper }: Claim): void {
      const counting: Keeper = {
        settle: (item) => {
          add(bytesOf, list, -item.bytes)
          keeper.settle(item)
        },
        park: async (item, reason, detail) => {
          await keeper.park(item, reason, detail)
          add(bytesOf, list, -item.bytes)
        },
      }
      const origin = { sourceId, transport: 'list' as const, channel: list, number, timeMs: takenMs, maxWaitMs }
      for (const [index, kept] of items) {
        const stamped = stamp(kept.data, { ...origin, index })
        metrics.received.inc({ source: sourceId, transport: 'list', route: stamped.route.name })
        if (stamped.reason !== undefined) metrics.other.inc({ source: sourceId, reason: stamped.reason })
        const item = toItem(stamped, counting, index)
        if (item.data === kept.data) items.set(index, item as Kept)
        add(bytesOf, list, item.bytes)
        senders.get(stamped.route)?.push(item)
      }
    },
  }
}

export type ListIntake = ReturnType<typeof createListIntake>
