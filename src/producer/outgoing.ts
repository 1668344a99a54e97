import { formatKey, formatPacket, type Key, type Packet } from '../protocol/index.ts'
import { ProducerError } from './errors.ts'

/** Where a packet is written: the parts of the key, or the key as it is (to test one outside the scheme). */
export type WriteKey = Key | string

/** A packet, or what takes its place as it is: text or bytes, to test a malformed one or one with numbers above 2^53. */
export type WritePacket = Packet | string | Uint8Array

/** A packet with its way: `pubsub` is published on the channel `key`, `list` is pushed left on the list `key`. */
export type Outgoing = { readonly transport: 'pubsub' | 'list'; readonly key: string; readonly packet: WritePacket }

/** The key as Redis knows it. @throws ProtocolError when the type in it has a colon. */
export function toKey(key: WriteKey): string {
  return typeof key === 'string' ? key : formatKey(key)
}

/** What Redis gets: JSON of a packet, everything else as it is. @throws ProducerError `producer.packet.invalid` */
export function toWire(packet: WritePacket): string | Buffer {
  if (typeof packet === 'string') return packet
  // A view, not a copy.
  if (packet instanceof Uint8Array) return Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength)
  try {
    return formatPacket(packet)
  } catch (cause) {
    // Its words may quote the packet, and so personal data: they stay in the cause.
    throw new ProducerError(
      'producer.packet.invalid',
      `the packet of type ${JSON.stringify(packet.type)} cannot be written as JSON`,
      { cause },
    )
  }
}
