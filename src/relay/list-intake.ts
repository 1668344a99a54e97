import type { Route } from '../protocol/index.ts'
import type { Claim } from './claims.ts'
import type { Keeper } from './item.ts'
import type { Metrics } from './metrics.ts'
import type { Sender } from './sender.ts'
import { stamp, toItem } from './stamp.ts'
import { waitUntil } from './wait-until.ts'

export type ListIntakeOptions = {
  readonly senders: ReadonlyMap<Route, Sender>
  readonly metrics: Metrics
  /** Bytes of notifications in memory beyond which nothing is taken. */
  readonly memoryBytes: number
  readonly roomListeners: Set<() => void>
}

/** Notifications of one list in memory at once: so many are sent again at most after a crash. */
const MAX_LIST_ITEMS = 6_000

/**
 * List items on their way from claims into the lanes. Their claim keeps them; memory bounds how many are taken: in bytes for all, in
 * items for each list, so that a list whose queue accepts nothing leaves room for the others.
 */
export function createListIntake({ senders, metrics, memoryBytes, roomListeners }: ListIntakeOptions) {
  const itemsOf = new Map<string, number>()
  const count = (key: string, more: number) => itemsOf.set(key, (itemsOf.get(key) ?? 0) + more)
  const hasRoom = (key: string) => {
    let bytes = 0
    for (const sender of senders.values()) bytes += sender.bytes
    return (itemsOf.get(key) ?? 0) < MAX_LIST_ITEMS && bytes < memoryBytes
  }
  return {
    /** Resolves when another claim of this list may be taken, or the signal aborts. */
    room: (sourceId: string, list: string, signal: AbortSignal): Promise<void> =>
      waitUntil(() => hasRoom(keyOf(sourceId, list)), roomListeners, signal),
    /** Puts a claim's items in their lanes. */
    take(sourceId: string, claim: Claim): void {
      const key = keyOf(sourceId, claim.list)
      const keeper: Keeper = {
        settle: (item) => {
          count(key, -1)
          claim.keeper.settle(item)
        },
        park: async (item, reason, detail) => {
          await claim.keeper.park(item, reason, detail)
          count(key, -1)
        },
      }
      claim.items.forEach((packet, index) => {
        if (packet === undefined) return
        const stamped = stamp(packet, {
          sourceId,
          transport: 'list',
          channel: claim.list,
          number: claim.number,
          index,
          timeMs: claim.takenMs,
          maxWaitMs: claim.maxWaitMs,
        })
        count(key, 1)
        metrics.received.inc({ source: sourceId, transport: 'list', route: stamped.route.name })
        if (stamped.reason !== undefined) metrics.other.inc({ source: sourceId, reason: stamped.reason })
        senders.get(stamped.route)?.push(toItem(stamped, keeper, index))
      })
    },
  }
}

export type ListIntake = ReturnType<typeof createListIntake>

const keyOf = (sourceId: string, list: string) => `${sourceId} ${list}`
