import {
  createEventStream,
  formatEventType,
  laneOf,
  orderKey,
  readPacket,
  routePacket,
  type EventStream,
  type OtherReason,
  type PacketFault,
  type Route,
  type Routes,
  type StampedEvent,
  type Transport,
} from '../../protocol/index.ts'
import type { Item, Keeper } from '../item.ts'

/** What is known of a packet besides its bytes. */
export type Received = {
  readonly sourceId: string
  readonly transport: Transport
  /** The Redis key or channel. */
  readonly channel: string
  /** The claim's or the epoch's. */
  readonly number: number
  readonly index: number
  readonly timeMs: number
  readonly maxWaitMs?: number | undefined
}

/** A packet made into a notification, and where it goes. */
export type Stamped = StampedEvent &
  Pick<Item, 'route' | 'lane' | 'receivedMs'> & { readonly reason: OtherReason | undefined }

/** What all packets of one channel and sub_type have in common. */
type Stream = {
  readonly route: Route
  readonly reference: string | undefined
  readonly reason: OtherReason | undefined
  readonly toEvent: ReturnType<typeof createEventStream>
}

/** More streams than any dialler has at a time: agents by sub_types. Beyond, all are made again. */
const MAX_STREAMS = 20_000

/** Reads, routes and stamps a packet. A pure function: a packet replayed is the same notification again. */
export type Stamp = (packet: Uint8Array, received: Received) => Stamped

/** Makes the stamp of a stack with these routes. */
export function createStamp(routes: Routes): Stamp {
  const streams = new Map<string, Stream>()

  const streamOf = (about: Received, subType: string | undefined, fault: PacketFault | undefined): Stream => {
    const { sourceId, transport, channel } = about
    // Sub_type and channel may hold any character: their lengths tell where one ends.
    const key = `${sourceId} ${transport} ${fault ?? ''} ${subType?.length} ${subType} ${channel}`
    const known = streams.get(key)
    if (known !== undefined) return known
    const { route, reference, reason, type, subType: named } = routePacket(routes, channel, subType, fault)
    const common = { sourceId, transport, channel, subject: reference, reason } satisfies Partial<EventStream>
    const stream = {
      route,
      reference,
      reason,
      toEvent: createEventStream({ ...common, type: formatEventType(type, named) }),
    }
    if (streams.size >= MAX_STREAMS) streams.clear()
    // What has no route may have any sub_type, one for each packet.
    if (reason === undefined) streams.set(key, stream)
    return stream
  }

  return (packetBytes, received) => {
    const { data, contentType, packet, fault } = readPacket(packetBytes)
    const { route, reference, reason, toEvent } = streamOf(received, packet?.type, fault)
    const { id, head, data: verbatim, bytes } = toEvent(packetBytes, data, contentType, received)
    const lane = laneOf(orderKey(reference, packet?.payload), route.lanes)
    return { id, head, data: verbatim, bytes, route, lane, receivedMs: received.timeMs, reason }
  }
}

export function toItem(stamped: Stamped, keeper: Keeper, place: number): Item {
  const { id, head, data, bytes, route, lane, receivedMs } = stamped
  return { id, head, data, bytes, route, lane, receivedMs, keeper, place }
}
