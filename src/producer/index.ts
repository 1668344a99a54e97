import { formatKey, formatPacket } from '../protocol/index.ts'
import { type Backup, type BackupOptions, openBackup } from './backup/backup.ts'
import {
  type Connection,
  createConnection,
  type ProducerClient,
  ProducerError,
  withinTime,
  words,
} from './connection.ts'
import type { Outgoing, PresentState, WriteKey, WritePacket } from './packets.ts'

export type { Backup, BackupLog, BackupOptions } from './backup/backup.ts'
export type { ProducerClient } from './connection.ts'
export * from './packets.ts'
export { ProducerError } from './connection.ts'

export type ProducerOptions = {
  /** How long (ms) Redis may take to answer before a packet counts as not written. Default 5,000. */
  readonly timeoutMs?: number
  /** The maximum number of packets in one LPUSH of `pushAll`. Default 500: a larger LPUSH is no faster, and delays other clients of the server. */
  readonly chunkPackets?: number
  /** The maximum number of bytes in one LPUSH of `pushAll`, unless a single packet is larger. Default 1 MiB. */
  readonly chunkBytes?: number
  /**
   * Writes packets that Redis does not accept to files, and pushes them, the oldest first, when Redis is back. Newer packets queue after them. Without
   * this option, the promises of such packets reject.
   */
  readonly backup?: BackupOptions
} & (
  | {
      /** The dialler's Redis, such as `redis://127.0.0.1:8001`; connected at first use. */
      readonly url: string
    }
  | {
      /** A connected client of your own; `close` leaves it open. */
      readonly client: ProducerClient
    }
)

/**
 * Writes packets as the dialler does. Each promise rejects with a `ProducerError` when Redis did not accept the packet and no backup keeps it.
 */
export type Producer = {
  /** Publishes a packet (PUBLISH). Resolves with the number of receivers: 0 when nobody is subscribed, or when the packet is in the backup. */
  publish: (key: WriteKey, packet: WritePacket) => Promise<number>
  /** Pushes a packet (LPUSH). Resolves with the length of the list; with 0 when the packet is in the backup, safely on disk, and not in Redis yet. */
  push: (key: WriteKey, packet: WritePacket) => Promise<number>
  /**
   * Pushes many packets with few commands, in order: the first is popped first. Resolves with the length of the list, or with 0 when there were none,
   * or when they are in the backup. When it rejects, `taken` of the error is how many of the first packets are in Redis or in the backup.
   */
  pushAll: (key: WriteKey, packets: readonly WritePacket[]) => Promise<number>
  /** Publishes or pushes a packet made by one of the functions per sub_type (`agentStatus`, `cdr` …). */
  send: (outgoing: Outgoing) => Promise<number>
  /** Stores a present state (HSET), as some diallers do when they publish it. Does nothing with a client that has no `hSet`. */
  keep: (state: PresentState) => Promise<void>
  /** The backup; undefined when there is none. */
  readonly backup: Backup | undefined
  /** Ends the connection, after the commands in progress. Packets in the backup stay there for the next producer with its folder. */
  close: () => Promise<void>
}

/**
 * Creates a producer, which writes packets as a dialler does: use it to test an integration without a dialler. Calls need not be awaited one by one:
 * packets reach Redis in the order of the calls. Source: the dialler's page "State Notifications" (PUBLISH with the reference in the channel;
 * LPUSH without one).
 *
 * @throws ProducerError `producer.address.invalid`, `producer.backup.locked`, `producer.backup.unusable`
 * @example
 * import { agentCall, cdr, createProducer } from 'enigma-relay/producer'
 *
 * const producer = createProducer({ url: 'redis://127.0.0.1:8001' })
 * await producer.send(agentCall({ ref: '1002', agent: '1002', call_ref: 17, contact_ref: 'C1', number: '27820000001' }))
 * await producer.publish({ type: 'agents', reference: '1002' }, { type: 'status', payload: { ref: '1002', status: 'busy' } })
 * await producer.push('enigma:notifications:campaigns', 'not JSON')
 * await producer.close()
 */
export function createProducer(options: ProducerOptions): Producer {
  const { timeoutMs = 5_000, chunkPackets = 500, chunkBytes = 1024 * 1024 } = options
  const connection: Connection =
    'client' in options
      ? { get: () => options.client, renew: () => undefined, close: () => Promise.resolve() }
      : createConnection(options.url, timeoutMs)
  const kept = options.backup && openBackup(options.backup, connection, timeoutMs, chunkPackets)
  let closed = false

  /** `taken`: how many packets before these are in Redis or in the backup. */
  const write = async (key: string, taken: number, work: () => Promise<number>): Promise<number> => {
    if (closed) throw new ProducerError('producer.connection.closed', 'the producer is closed', { taken })
    try {
      return await work()
    } catch (cause) {
      if (cause instanceof ProducerError)
        throw taken === 0 ? cause : new ProducerError(cause.code, cause.message, { cause: cause.cause, taken })
      throw new ProducerError(
        'producer.write.not_taken',
        `Redis did not accept the packet for ${JSON.stringify(key)}: ${words(cause)}`,
        { cause, taken },
      )
    }
  }

  const run = (command: (client: ProducerClient) => Promise<number>): Promise<number> => {
    const client = connection.get()
    return withinTime(timeoutMs, 'then' in client ? client.then(command) : command(client))
  }

  const publish: Producer['publish'] = async (to, packet) => {
    const key = toRedisKey(to)
    const wire = toWire(packet)
    const isKept = options.backup?.pubsub?.(key, packet) === true
    return write(key, 0, () =>
      kept !== undefined && isKept
        ? kept.put([{ transport: 'pubsub', key, wire }])
        : run((client) => client.publish(key, wire)),
    )
  }
  const takeChunk = (wires: readonly (string | Buffer)[], from: number): (string | Buffer)[] => {
    const chunk: (string | Buffer)[] = []
    let bytes = 0
    for (const wire of wires.slice(from, from + chunkPackets)) {
      // A string has at most three bytes per character, so its length is near enough.
      bytes += wire.length
      if (chunk.length > 0 && bytes > chunkBytes) break
      chunk.push(wire)
    }
    return chunk
  }
  const pushAll: Producer['pushAll'] = async (to, packets) => {
    const key = toRedisKey(to)
    // All packets are converted first, so that none is pushed when one of them cannot be converted.
    const wires = packets.map(toWire)
    let length = 0
    // One chunk after another: when Redis refuses one, the later chunks are not sent.
    for (let at = 0; at < wires.length;) {
      const chunk = takeChunk(wires, at)
      length = await write(key, at, () =>
        kept === undefined
          ? run((client) => client.lPush(key, chunk))
          : kept.put(chunk.map((wire) => ({ transport: 'list', key, wire }))),
      )
      at += chunk.length
    }
    return length
  }
  const push: Producer['push'] = (to, packet) => pushAll(to, [packet])

  return {
    publish,
    push,
    pushAll,
    send: ({ transport, key, packet }) => (transport === 'pubsub' ? publish(key, packet) : push(key, packet)),
    keep: async ({ key, field, value }) => {
      await write(key, 0, () => run((client) => client.hSet?.(key, field, value) ?? Promise.resolve(0)))
    },
    backup: kept?.backup,
    close: async () => {
      if (closed) return
      closed = true
      await kept?.close()
      await connection.close()
    },
  }
}

/** Returns the key as text. @throws ProtocolError when its type contains a colon */
const toRedisKey = (key: WriteKey): string => (typeof key === 'string' ? key : formatKey(key))

/** Returns the text or bytes for Redis: JSON of a packet, everything else unchanged. @throws ProducerError `producer.packet.invalid` */
function toWire(packet: WritePacket): string | Buffer {
  if (typeof packet === 'string') return packet
  // A view, not a copy.
  if (packet instanceof Uint8Array) return Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength)
  try {
    return formatPacket(packet)
  } catch (cause) {
    // The text of the error may quote the packet, and so personal data: it stays in the cause.
    throw new ProducerError(
      'producer.packet.invalid',
      `the packet of type ${JSON.stringify(packet.type)} cannot be written as JSON`,
      { cause },
    )
  }
}
