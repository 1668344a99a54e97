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

/** Notifications of lists in memory at once: so many are sent again at most after a crash. */
const MAX_LIST_ITEMS = 6_000

/** List items on their way from claims into the lanes. Their claim keeps them; memory bounds how many are taken. */
export function createListIntake({ senders, metrics, memoryBytes, roomListeners }: ListIntakeOptions) {
  let items = 0
  const hasRoom = () => {
    let bytes = 0
    for (const sender of senders.values()) bytes += sender.bytes
    return items < MAX_LIST_ITEMS && bytes < memoryBytes
  }
  return {
    /** Resolves when another claim may be taken, or the signal aborts. */
    room: (signal: AbortSignal): Promise<void> => waitUntil(hasRoom, roomListeners, signal),
    get hasRoom() {
      return hasRoom()
    },
    /** Puts a claim's items in their lanes. */
    take(sourceId: string, claim: Claim): void {
      const keeper: Keeper = {
        settle: (item) => {
          items--
          claim.keeper.settle(item)
        },
        park: async (item, reason, detail) => {
          await claim.keeper.park(item, reason, detail)
          items--
        },
      }
      claim.items.forEach((packet, index) => {
        if (packet === undefined) return
        const stamped = stamp(packet, {
          sourceId, transport: 'list', channel: claim.list, number: claim.number, index, timeMs: claim.takenMs, maxWaitMs: claim.maxWaitMs,
        })
        items++
        metrics.received.inc({ source: sourceId, transport: 'list', route: stamped.route.name })
        if (stamped.reason !== undefined) metrics.other.inc({ source: sourceId, reason: stamped.reason })
        senders.get(stamped.route)?.push(toItem(stamped, keeper, index))
      })
    },
  }
}

export type ListIntake = ReturnType<typeof createListIntake>
