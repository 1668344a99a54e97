import {
  createEventStream,
  formatEventType,
  laneOf,
  orderKey,
  readPacket,
  routePacket,
  type OtherReason,
  type PacketFault,
  type Route,
  type Routes,
  type StampedEvent,
  type Transport,
} from '../protocol/index.ts'

/** Keeps a notification until it is sent, and learns its outcome: a claim or the journal. */
export type Acknowledger = {
  /** Marks a notification as finished: the target has accepted it or it is parked, and it need not be kept. Called once. */
  settle: (item: Item) => void
  /** Parks a notification that cannot be sent. Resolves when it is parked; retries until then. */
  park: (item: Item, reason: string, detail: string) => Promise<void>
  /** Keeps `attempt` over a restart, after the server asked for another attempt. Absent where nothing is kept. */
  keepAttempt?: ((item: Item) => void) | undefined
}

/** A notification made from a packet, as a CloudEvent in parts (`textOf` joins them), and its destination. */
export type Stamped = StampedEvent & {
  readonly route: Route
  /** The lane within the route. */
  readonly lane: number
  readonly receivedMs: number
  /** Why the notification goes to the route `other`. */
  readonly reason: OtherReason | undefined
}

/** A notification on its way through the relay. */
export type Item = Omit<Stamped, 'reason'> & {
  readonly acknowledger: Acknowledger
  /** Identifies the notification for its acknowledger: the index in the claim, or the row in the journal. */
  readonly position: number
  /** 1 + how often a server that runs functions asked for the notification again. Outages do not count. */
  attempt: number
  /** Whether the target may have received the notification before, from this process or an earlier one. */
  isRedelivery: boolean
}

/** What an earlier process or attempt recorded about a notification. */
export type Former = { readonly attempt?: number | undefined; readonly isRedelivery?: boolean }

/** The origin of a packet: everything known about it besides its bytes. */
export type PacketOrigin = {
  readonly sourceId: string
  readonly transport: Transport
  /** The Redis key or channel. */
  readonly channel: string
  /** The number of the claim or the epoch. */
  readonly number: number
  readonly index: number
  readonly timeMs: number
  readonly maxWaitMs?: number | undefined
}

/** The values that all packets of one channel and sub_type share. */
type Stream = Pick<Stamped, 'route' | 'reason'> & {
  readonly reference: string | undefined
  readonly toEvent: ReturnType<typeof createEventStream>
}

/** The maximum number of cached streams: more than the agents of any dialler times their sub_types. When it is exceeded, the cache is emptied. */
const MAX_STREAMS = 20_000

/** Reads, routes and stamps a packet. A pure function: the same packet and origin always make the same notification. */
export type Stamp = (packet: Uint8Array, received: PacketOrigin) => Stamped

/** Creates the stamp function for a route table. */
export function createStamp(routes: Routes): Stamp {
  const streams = new Map<string, Stream>()

  const streamOf = (about: PacketOrigin, subType: string | undefined, fault: PacketFault | undefined): Stream => {
    const { sourceId, transport, channel } = about
    // Sub_type and channel may contain any character. The length of the sub_type marks where it ends.
    const key = `${sourceId} ${transport} ${fault ?? ''} ${subType?.length} ${subType} ${channel}`
    const known = streams.get(key)
    if (known !== undefined) return known
    const { route, reference, reason, type, subType: named } = routePacket(routes, channel, subType, fault)
    const common = { sourceId, transport, channel, subject: reference, reason, type: formatEventType(type, named) }
    const stream = { route, reference, reason, toEvent: createEventStream(common) }
    if (streams.size >= MAX_STREAMS) streams.clear()
    // Not cached without a route: each such packet may have another sub_type.
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

/** Makes a notification of this route from an event that is already complete text. */
export function stampEvent(
  event: string,
  { id, route, receivedMs }: Pick<Stamped, 'id' | 'route' | 'receivedMs'>,
  order: Parameters<typeof orderKey>,
): Stamped {
  const lane = laneOf(orderKey(...order), route.lanes)
  const bytes = Buffer.byteLength(event)
  return { id, head: event, data: undefined, bytes, route, lane, receivedMs, reason: undefined }
}

export function toItem(stamped: Stamped, acknowledger: Acknowledger, position: number, former: Former = {}): Item {
  const { id, head, data, bytes, route, lane, receivedMs } = stamped
  const { attempt = 1, isRedelivery = false } = former
  return { id, head, data, bytes, route, lane, receivedMs, acknowledger, position, attempt, isRedelivery }
}

/**
 * Replaces the packet's bytes with a copy. Bytes as received are a view of everything that the connection read at once, and keep all of it in memory:
 * 64 KiB for a packet of 400 bytes. Call it for notifications that stay in memory longer than one request.
 */
export function detach(one: { readonly data: Uint8Array | undefined }): void {
  const { data } = one
  if (data !== undefined && data.byteLength < data.buffer.byteLength)
    (one as { data: Uint8Array }).data = new Uint8Array(data)
}
