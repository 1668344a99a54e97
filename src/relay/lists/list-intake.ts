import type { Route } from '../../protocol/index.ts'
import type { Claim } from './claims.ts'
import type { Keeper } from '../item.ts'
import type { Metrics } from '../metrics.ts'
import type { Sender } from '../sender/sender.ts'
import { stamp, toItem } from '../notification/stamp.ts'
import { waitUntil } from './wait-until.ts'

export type ListIntakeOptions = {
  readonly senders: ReadonlyMap<Route, Sender>
  readonly metrics: Metrics
  /** Bytes of list items in memory beyond which nothing is taken: each list has the same share of them. */
  readonly memoryBytes: number
  /** How many lists there are, those of all sources together. */
  readonly lists: number
  readonly roomListeners: Set<() => void>
}

/** What may be taken from a list now. */
export type Room = { readonly items: number; readonly bytes: number }

/** Items of one list that Redis holds in claims: so many are sent again at most after a crash. */
const MAX_LIST_ITEMS = 6_000

/** With less room than this for more of a list, settled items leave its claims soon. */
const SHORT_ITEMS = 500

/**
 * List items on their way from claims into the lanes. Their claim keeps them. How many are taken is bounded for each list by itself, in
 * items and in bytes, so that a list whose queue accepts nothing, or whose items are large, leaves room for the others.
 */
export function createListIntake({ senders, metrics, memoryBytes, lists, roomListeners }: ListIntakeOptions) {
  const shareBytes = memoryBytes / Math.max(1, lists)
  const itemsOf = new Map<string, number>()
  const bytesOf = new Map<string, number>()
  const add = (counts: Map<string, number>, key: string, more: number) => counts.set(key, (counts.get(key) ?? 0) + more)
  const roomOf = (key: string): Room => ({
    items: MAX_LIST_ITEMS - (itemsOf.get(key) ?? 0),
    bytes: shareBytes - (bytesOf.get(key) ?? 0),
  })
  const hasRoom = (key: string): boolean => {
    const { items, bytes } = roomOf(key)
    return items > 0 && bytes > 0
  }
  return {
    /** Resolves with how much may be taken from this list, as soon as that is anything; or when the signal aborts. */
    room: async (sourceId: string, list: string, signal: AbortSignal): Promise<Room> => {
      const key = keyOf(sourceId, list)
      await waitUntil(() => hasRoom(key), roomListeners, signal)
      return roomOf(key)
    },
    /** Whether little more of this list may be taken, for the items that Redis holds in claims. */
    isShort: (sourceId: string, list: string): boolean => roomOf(keyOf(sourceId, list)).items < SHORT_ITEMS,
    /** Redis holds so many items more (or less) of this list in claims. */
    hold(sourceId: string, list: string, more: number): void {
      add(itemsOf, keyOf(sourceId, list), more)
      if (more < 0) for (const listener of roomListeners) listener()
    },
    /** Puts a claim's items in their lanes. */
    take(sourceId: string, claim: Claim): void {
      const key = keyOf(sourceId, claim.list)
      const keeper: Keeper = {
        settle: (item) => {
          add(bytesOf, key, -item.bytes)
          claim.keeper.settle(item)
        },
        park: async (item, reason, detail) => {
          await claim.keeper.park(item, reason, detail)
          add(bytesOf, key, -item.bytes)
        },
      }
      for (const [index, packet] of claim.items) {
        const stamped = stamp(packet, {
          sourceId,
          transport: 'list',
          channel: claim.list,
          number: claim.number,
          index,
          timeMs: claim.takenMs,
          maxWaitMs: claim.maxWaitMs,
        })
        metrics.received.inc({ source: sourceId, transport: 'list', route: stamped.route.name })
        if (stamped.reason !== undefined) metrics.other.inc({ source: sourceId, reason: stamped.reason })
        const item = toItem(stamped, keeper, index)
        add(bytesOf, key, item.bytes)
        senders.get(stamped.route)?.push(item)
      }
    },
  }
}

export type ListIntake = ReturnType<typeof createListIntake>

const keyOf = (sourceId: string, list: string) => `${sourceId} ${list}`
