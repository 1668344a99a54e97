import type { Route } from '../../protocol/index.ts'
import type { Item } from '../item.ts'
import type { Parcel } from '../targets/target.ts'
import { createLane, hasWork, moveLane, oldestOf, takeWaiting, type Lane } from './lane.ts'
import { countForPack, toPack, type Pack } from './pack.ts'

/** A pack on its way, and the lane that waits for what becomes of it. */
export type Flight = Parcel & { readonly lane: Lane }

export const bytesOf = (flights: readonly Flight[]): number => flights.reduce((sum, { pack }) => sum + pack.bytes, 0)

export type LanesOptions = {
  readonly route: Route
  /** Called when a lane is ready. */
  readonly onReady: () => void
  /** Called when what is next in a lane is too large as it is: the lane stays busy until `next`. */
  readonly onTooLarge: (lane: Lane, maxBytes: number) => void
}

/** A request carries at most this many packs. Source: SendMessageBatch in the SQS API reference. */
const REQUEST_PACKS = 10

/** The lanes of a route, and those that have something to send in the order in which they became ready. */
export function createLanes({ route, onReady, onTooLarge }: LanesOptions) {
  const lanes = Array.from({ length: route.lanes }, (_, index) => createLane(String(index)))
  let ready: Lane[] = []

  const makeReady = (lane: Lane) => {
    moveLane(lane, 'ready')
    ready.push(lane)
    onReady()
  }

  const isFull = (lane: Lane) => lane.waiting.length - lane.head >= route.packNotifications

  /** Undefined when what is next in the lane is too large as it is. */
  const nextPack = (lane: Lane, maxBytes: number, packBytes: number): Pack | undefined => {
    const frozen = lane.frozen.shift()
    if (frozen !== undefined) return frozen
    const count = countForPack(lane.waiting, lane.head, route, Math.min(packBytes, maxBytes))
    if (count === 1 && (lane.waiting[lane.head] as Item).bytes > maxBytes) return undefined
    return toPack(takeWaiting(lane, count), maxBytes)
  }

  return {
    /** Puts a notification in its lane. */
    push(item: Item): void {
      const lane = lanes[item.lane] as Lane
      lane.waiting.push(item)
      if (lane.state === 'idle') makeReady(lane)
      else if (lane.state === 'ready' && route.lingerMs > 0 && isFull(lane)) onReady()
    },
    /** What was in flight of a lane is settled, or frozen again: its next pack is in line. */
    next(lane: Lane): void {
      if (hasWork(lane)) makeReady(lane)
      else moveLane(lane, 'idle')
    },
    /**
     * The packs of the next request, within the size of a request unless one notification alone is larger. Their lanes are busy until
     * `next`.
     */
    gather(maxBytes: number, requestBytes: number): Flight[] {
      const flights: Flight[] = []
      let total = 0
      let used = 0
      for (const lane of ready) {
        if (flights.length === REQUEST_PACKS) break
        const pack = nextPack(lane, maxBytes, requestBytes)
        if (pack !== undefined && total + pack.bytes > requestBytes && flights.length > 0) {
          lane.frozen.unshift(pack)
          break
        }
        used++
        moveLane(lane, 'busy')
        if (pack === undefined) onTooLarge(lane, maxBytes)
        else {
          flights.push({ lane, group: lane.group, pack })
          total += pack.bytes
        }
      }
      ready = ready.slice(used)
      return flights
    },
    /** Whether the last try of a lane failed. */
    isFailing: (lane: number): boolean => (lanes[lane] as Lane).failures > 0,
    /** Whether a request would carry as many packs as it may, or one as many notifications. */
    get isFull(): boolean {
      const [first] = ready
      return ready.length >= REQUEST_PACKS || (first !== undefined && isFull(first))
    },
    /** When (ms) the oldest of the lane that is next in line was received; undefined when no lane is ready. */
    get readySinceMs(): number | undefined {
      const [first] = ready
      return first === undefined ? undefined : oldestOf(first)
    },
    /** Whether no lane is ready. */
    get isEmpty(): boolean {
      return ready.length === 0
    },
    /** When (ms) the oldest that waits was received; undefined when nothing does. */
    oldestMs(): number | undefined {
      const times = lanes.map(oldestOf).filter((ms) => ms !== undefined)
      return times.length === 0 ? undefined : Math.min(...times)
    },
  }
}

export type Lanes = ReturnType<typeof createLanes>
