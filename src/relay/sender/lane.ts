import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { CONTENT_ENCODING, GZIP, joinEvents, textOf, type Route } from '../../protocol/index.ts'
import type { Item } from '../item.ts'
import type { Parcel } from '../targets/target.ts'

/** The content of one message. Frozen once sent: a retry sends the same bytes, so that SQS and other targets recognise a copy. */
export type Pack = {
  readonly items: readonly Item[]
  /** The body in gzip and base64; undefined: the body is the result of `bodyOf`. */
  readonly gzipped: string | undefined
  /** The size of the body and its attribute, as SQS counts them. */
  readonly bytes: number
  /** A hash of all ids, so that another pack never looks like a copy. */
  readonly deduplicationId: string
  /** The number of the attempt, which is the same for all of its items. */
  readonly attempt: number
}

const compress = promisify(gzip)

/** How many bytes the attribute `content-encoding` adds to a message: SQS counts name, type and value. */
const ATTRIBUTE_BYTES = CONTENT_ENCODING.length + 'String'.length + GZIP.length

/** Returns how many of the waiting items go into one pack: as many of one attempt as the limits allow, at least one. */
export function countForPack(waiting: readonly Item[], from: number, route: Route, maxBytes: number): number {
  const most = Math.min(route.packBytes, maxBytes)
  const attempt = waiting[from]?.attempt
  let bytes = 1
  let count = 0
  while (from + count < waiting.length && count < route.packNotifications) {
    const item = waiting[from + count] as Item
    bytes += item.bytes + 1
    if (count > 0 && (bytes > most || item.attempt !== attempt)) break
    count++
  }
  return count
}

const makePack = (items: readonly Item[], gzipped: string | undefined, bytes: number): Pack => {
  const deduplicationId = hash('sha256', items.map(({ id }) => id).join('\n'), 'hex')
  return { items, gzipped, bytes, deduplicationId, attempt: items[0]?.attempt ?? 1 }
}

/** Makes a pack of these items; undefined when it must be gzipped first (`toGzippedPack`). */
export function toPack(items: readonly Item[], maxBytes: number): Pack | undefined {
  const bytes = items.reduce((sum, item) => sum + item.bytes + 1, items.length > 1 ? 1 : -1)
  return bytes > maxBytes ? undefined : makePack(items, undefined, bytes)
}

/** Makes a gzipped pack in base64; undefined when it is still too large. */
export async function toGzippedPack(items: readonly Item[], maxBytes: number): Promise<Pack | undefined> {
  const gzipped = (await compress(joinEvents(items.map(textOf)))).toString('base64')
  const bytes = gzipped.length + ATTRIBUTE_BYTES
  return bytes > maxBytes ? undefined : makePack(items, gzipped, bytes)
}

export const bodyOf = ({ items, gzipped }: Pack): string => gzipped ?? joinEvents(items.map(textOf))

/**
 * The state of a lane. `idle`: it has nothing to send. `ready`: it is in line for the next request. `busy`: one of its packs is in flight,
 * waits for its retry, or is being compressed, bisected or parked; new notifications wait.
 *
 *     idle → ready → busy → ready, when there is more to send
 *                         → idle
 */
export type LaneState = 'idle' | 'ready' | 'busy'

/** An ordered stream within a route: at most one pack of it is in flight, and the notifications that gather meanwhile make the next one. */
export type Lane = {
  /** Its number as text: the SQS message group. */
  readonly group: string
  waiting: Item[]
  /** The index in `waiting` where the next pack begins: a queue that need not move its items. */
  head: number
  /** Packs to send before any waiting item: one that is retried, or the halves of one that was rejected. */
  frozen: Pack[]
  /** Changed by `moveLane` only. */
  readonly state: LaneState
  /** Consecutive failures. */
  failures: number
}

const NEXT: Record<LaneState, readonly LaneState[]> = { idle: ['ready'], ready: ['busy'], busy: ['ready', 'idle'] }

/** Changes the state of a lane. No other function does. @throws TypeError for a change that would break the order */
export function moveLane(lane: Lane, to: LaneState): void {
  if (!NEXT[lane.state].includes(to)) throw new TypeError(`lane ${lane.group} cannot go from ${lane.state} to ${to}`)
  ;(lane as { state: LaneState }).state = to
}

export function createLane(group: string): Lane {
  return { group, waiting: [], head: 0, frozen: [], state: 'idle', failures: 0 }
}

export const hasWork = (lane: Lane): boolean => lane.frozen.length > 0 || lane.head < lane.waiting.length

export const unsentOf = ({ frozen, waiting, head }: Lane): readonly Item[] =>
  frozen.flatMap(({ items }) => items).concat(waiting.slice(head))

/** Returns when (ms) the oldest unsent notification was received. */
export const oldestOf = (lane: Lane): number | undefined =>
  (lane.frozen[0]?.items[0] ?? lane.waiting[lane.head])?.receivedMs

export function takeWaiting(lane: Lane, count: number): Item[] {
  const items = lane.waiting.slice(lane.head, lane.head + count)
  lane.head += count
  if (lane.head > 1_000 || lane.head === lane.waiting.length) {
    lane.waiting = lane.waiting.slice(lane.head)
    lane.head = 0
  }
  return items
}

/** A pack in flight, and the lane that waits for its outcome. */
export type Flight = Parcel & { readonly lane: Lane }

export const bytesOf = (flights: readonly Flight[]): number => flights.reduce((sum, { pack }) => sum + pack.bytes, 0)

/** Returns the smallest pack as a request of its own: the target answers for each pack separately. */
export function toProbe<Batch extends { readonly flights: readonly Flight[] }>(batch: Batch) {
  const smallest = batch.flights.reduce((least, flight) => (flight.pack.bytes < least.pack.bytes ? flight : least))
  return { input: { ...batch, flights: [smallest] }, bytes: smallest.pack.bytes }
}

export type LanesOptions = {
  readonly route: Route
  /** Called when a lane is ready. */
  readonly onReady: () => void
  /** Called when the next notification of a lane is too large. The lane stays busy until `next`. */
  readonly onTooLarge: (lane: Lane, maxBytes: number) => void
}

/** The maximum number of packs in a request, to SQS and to HTTP servers. Source: SendMessageBatch in the SQS API reference. */
const MAX_REQUEST_PACKS = 10

/** Creates the lanes of a route, and the queue of lanes that have something to send, in the order in which they became ready. */
export function createLanes({ route, onReady, onTooLarge }: LanesOptions) {
  const lanes = Array.from({ length: route.lanes }, (_, index) => createLane(String(index)))
  let ready: Lane[] = []

  const makeReady = (lane: Lane) => {
    moveLane(lane, 'ready')
    ready.push(lane)
    onReady()
  }

  const isFull = (lane: Lane) => lane.waiting.length - lane.head >= route.packNotifications

  /** Returns undefined when the next notification of the lane is too large. */
  const nextPack = (lane: Lane, maxBytes: number, packBytes: number): Pack | undefined => {
    const frozen = lane.frozen.shift()
    if (frozen !== undefined) return frozen
    const count = countForPack(lane.waiting, lane.head, route, Math.min(packBytes, maxBytes))
    if (count === 1 && (lane.waiting[lane.head] as Item).bytes > maxBytes) return undefined
    return toPack(takeWaiting(lane, count), maxBytes)
  }

  return {
    push(item: Item): void {
      const lane = lanes[item.lane] as Lane
      lane.waiting.push(item)
      if (lane.state === 'idle') makeReady(lane)
      else if (lane.state === 'ready' && route.lingerMs > 0 && isFull(lane)) onReady()
    },
    /** Puts the next pack of a lane in line, after its pack in flight was settled or frozen again. */
    next(lane: Lane): void {
      if (hasWork(lane)) makeReady(lane)
      else moveLane(lane, 'idle')
    },
    /**
     * Returns the packs of the next request, all of one attempt and within `requestBytes`, unless one notification alone is larger. Their lanes are
     * busy until `next`.
     */
    gather(maxBytes: number, requestBytes: number): Flight[] {
      const flights: Flight[] = []
      let total = 0
      let used = 0
      for (const lane of ready) {
        if (flights.length === MAX_REQUEST_PACKS) break
        const pack = nextPack(lane, maxBytes, requestBytes)
        const [first] = flights
        if (
          pack !== undefined &&
          first !== undefined &&
          (total + pack.bytes > requestBytes || pack.attempt !== first.pack.attempt)
        ) {
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
    isFailing: (lane: number): boolean => (lanes[lane] as Lane).failures > 0,
    /** Whether more lanes are failing than fit into one request. Then the content of a single lane is not the cause. */
    get areFailing(): boolean {
      return lanes.filter(({ failures }) => failures > 0).length > MAX_REQUEST_PACKS
    },
    /** Whether the next request would carry the maximum number of packs, or a pack the maximum number of notifications. */
    get isFull(): boolean {
      const [first] = ready
      return ready.length >= MAX_REQUEST_PACKS || (first !== undefined && isFull(first))
    },
    /** When (ms) the oldest notification of the first ready lane was received; undefined when no lane is ready. */
    get readySinceMs(): number | undefined {
      const [first] = ready
      return first === undefined ? undefined : oldestOf(first)
    },
    get isEmpty(): boolean {
      return ready.length === 0
    },
    /** Returns when (ms) the oldest waiting notification was received; undefined when none waits. */
    oldestMs(): number | undefined {
      const times = lanes.map(oldestOf).filter((ms) => ms !== undefined)
      return times.length === 0 ? undefined : Math.min(...times)
    },
  }
}

export type Lanes = ReturnType<typeof createLanes>
