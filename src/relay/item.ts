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

/** What keeps a notification until it is sent, and learns what became of it: a claim or the journal. */
export type Acknowledger = {
  /** The target has accepted it: it need not be kept. Called once. */
  settle: (item: Item) => void
  /** It cannot be sent at all: parks it. Resolves when it is parked; retries by itself until then. */
  park: (item: Item, reason: string, detail: string) => Promise<void>
  /** The server asked for another attempt at it: keeps `attempt` over a restart. Left out where nothing is kept. */
  keepAttempt?: ((item: Item) => void) | undefined
}

/** A packet made into a notification, a CloudEvent in parts (`textOf` joins them), and where it goes. */
export type Stamped = StampedEvent & {
  readonly route: Route
  /** The lane of its route. */
  readonly lane: number
  readonly receivedMs: number
  /** Why it goes to the route `other`. */
  readonly reason: OtherReason | undefined
}

/** A notification on its way through the relay. */
export type Item = Omit<Stamped, 'reason'> & {
  readonly acknowledger: Acknowledger
  /** What the acknowledger knows it by: the index in the claim, or the row in the journal. */
  readonly position: number
  /** 1 + how often a server that runs functions asked for it again. Outages do not count. */
  attempt: number
  /** Whether the target may have got it before, from this process or a former one. */
  isRedelivery: boolean
}

/** What a former process, or a try before, knew of an item. */
export type Former = { readonly attempt?: number | undefined; readonly isRedelivery?: boolean }

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

/** What all packets of one channel and sub_type have in common. */
type Stream = Pick<Stamped, 'route' | 'reason'> & {
  readonly reference: string | undefined
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
    const common = { sourceId, transport, channel, subject: reference, reason, type: formatEventType(type, named) }
    const stream = { route, reference, reason, toEvent: createEventStream(common) }
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

/** Makes an event that is a whole text already a notification of this route. */
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
 * Gives it a copy of the packet's bytes, in its place. As they came, they are a part of what the connection read at once, and keep all of that
 * in memory: 64 KiB for a packet of 400 bytes. To be called for what stays longer than a request takes.
 */
export function detach(one: { readonly data: Uint8Array | undefined }): void {
  const { data } = one
  if (data !== undefined && data.byteLength < data.buffer.byteLength)
    (one as { data: Uint8Array }).data = new Uint8Array(data)
}
