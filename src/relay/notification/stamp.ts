import {
  formatEvent,
  formatEventType,
  formatId,
  formatSequence,
  formatTraceparent,
  laneOf,
  orderKey,
  readPacket,
  routePacket,
  toEventSource,
  type OtherReason,
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
export type Stamped = Pick<Item, 'id' | 'route' | 'lane' | 'event' | 'bytes' | 'receivedMs'> & {
  readonly reason: OtherReason | undefined
}

/** Reads, routes and stamps a packet. A pure function: a packet replayed is the same notification again. */
export function stamp(packetBytes: Uint8Array, received: Received): Stamped {
  const { sourceId, transport, channel, number, index, timeMs } = received
  const { data, contentType, packet, fault } = readPacket(packetBytes)
  const { route, type, subType, reference, reason } = routePacket(channel, packet?.type, fault)
  const id = formatId(sourceId, transport, number, index)
  const event = formatEvent({
    id,
    source: toEventSource(sourceId),
    type: formatEventType(type, subType),
    subject: reference,
    time: new Date(timeMs).toISOString(),
    datacontenttype: contentType,
    data,
    transport,
    channel,
    sequence: formatSequence(number, index),
    traceparent: formatTraceparent(sourceId, transport, number, index),
    maxwaitms: received.maxWaitMs,
    reason,
  })
  return {
    id,
    route,
    lane: laneOf(orderKey(reference, packet?.payload), route.lanes),
    event,
    bytes: Buffer.byteLength(event),
    receivedMs: timeMs,
    reason,
  }
}

export function toItem(stamped: Stamped, keeper: Keeper, place: number): Item {
  const { id, route, lane, event, bytes, receivedMs } = stamped
  return { id, route, lane, event, bytes, receivedMs, keeper, place }
}
