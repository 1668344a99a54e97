import { createClient } from 'redis'
import { firstError, maskText } from '../protocol/index.ts'
import { within, backoffMs } from '../runtime/index.ts'

/** Reports why a packet was not written, or why the producer cannot be used. */
export class ProducerError extends Error {
  override readonly name = 'ProducerError'
  readonly code:
    // Redis did not confirm the packet: it is unreachable, out of memory, did not answer in time … (the reason is the `cause`). Keep the packet
    // and write it again if it must not be lost. If only the answer was lost, it is then in Redis twice, as with a real dialler.
    | 'producer.write.not_taken'
    // Redis did not accept the packet, and it could not be written to the backup folder either: the disk is full … (the `cause`).
    | 'producer.backup.not_kept'
    // The packet cannot be written as JSON.
    | 'producer.packet.invalid'
    // The address is not a Redis URL.
    | 'producer.address.invalid'
    // Another producer uses the backup folder.
    | 'producer.backup.locked'
    // The backup folder cannot be created, read or written.
    | 'producer.backup.unusable'
    // The producer is closed.
    | 'producer.connection.closed'
    // Another producer writes with a copy of the backup folder.
    | 'producer.backup.copied'
  /** Of several packets, how many of the first ones are in Redis or in the backup; 0 for a single packet. Write the rest again. */
  readonly taken: number

  constructor(code: ProducerError['code'], message: string, options: ErrorOptions & { readonly taken?: number } = {}) {
    super(message, options)
    this.code = code
    this.taken = options.taken ?? 0
  }
}

/** Reports that Redis did not answer in time. Whether it ran the command is unknown. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
  readonly code = 'producer.redis.no_answer'
}

/** Settles as `promise` does. @throws NoAnswerError when that takes longer than `ms` */
export const withinTime = <T>(ms: number, promise: Promise<T>): Promise<T> =>
  within(ms, promise, () => new NoAnswerError(`no answer within ${ms} ms`))

/** Whether the error is an answer of Redis, such as `OOM command not allowed …`, and not an error of the connection. */
export const isAnswer = (error: unknown): error is Error => error instanceof Error && /^[A-Z]{2,} /.test(error.message)

/** Returns an error's text in a form that may be shown: an answer of Redis may quote the packet. */
export function words(error: unknown): string {
  const first = firstError(error)
  if (isAnswer(first)) return maskText(first.message)
  return first instanceof Error ? first.message : String(first)
}

/** The commands that a producer needs. A connected client of node-redis 4, 5 or 6 has them. */
export type ProducerClient = {
  publish: (channel: string, message: string | Buffer) => Promise<number>
  lPush: (key: string, elements: (string | Buffer)[]) => Promise<number>
  /** For present states. */
  hSet?: (key: string, field: string, value: string) => Promise<number>
  /** For a producer with a backup. Without it, packets whose answer was lost are written twice. */
  sendCommand?: (args: (string | Buffer)[]) => Promise<unknown>
}

/** A client that connects when it is first needed, and reconnects by itself after an outage. */
export type Connection = {
  /** Returns the client at once when it is connected. Rejects with the client's error when the first connection fails; the next call tries again. */
  get: () => ProducerClient | Promise<ProducerClient>
  /** Closes a connection that does not answer, so that the next call makes a new one. */
  renew: () => void
  close: () => Promise<void>
}

/** Creates a connection that is made at first use. @throws ProducerError `producer.address.invalid` */
export function createConnection(url: string, timeoutMs: number): Connection {
  // The message does not contain the URL, because a password may be in it.
  if (!/^(rediss?|unix):$/.test(URL.parse(url)?.protocol ?? '')) {
    throw new ProducerError(
      'producer.address.invalid',
      'the address is not a Redis URL: write one such as redis://127.0.0.1:8001',
    )
  }
  let current: ReturnType<typeof open> | undefined
  const open = () => {
    let wasReady = false
    // `RESP: 2` and no client info, because old servers know neither RESP 3 nor CLIENT SETINFO. Without an offline queue, the promise of a
    // packet rejects at once while there is no connection.
    const client = createClient({
      url,
      RESP: 2,
      disableClientInfo: true,
      disableOfflineQueue: true,
      socket: {
        connectTimeout: timeoutMs,
        reconnectStrategy: (retries) => wasReady && backoffMs(retries + 1, { baseMs: 50, maxMs: 1_000 }),
      },
    })
    // The promise of each packet that was not accepted rejects by itself.
    client.on('error', () => undefined)
    client.on('ready', () => (wasReady = true))
    let isDestroyed = false
    const destroy = () => {
      isDestroyed = true
      client.destroy()
    }
    // A reconnect that is under way when the client is destroyed would leave its connection open, and with it this process.
    client.on('connect', () => isDestroyed && client.destroy())
    const opened = { client, destroy, isOpen: false, connected: Promise.resolve() }
    opened.connected = client.connect().then(
      // Open only after all waiting calls have sent their packets: the order of the calls is the order in Redis.
      () => void setImmediate(() => (opened.isOpen = true)),
      (error: unknown) => {
        if (current === opened) current = undefined
        throw error
      },
    )
    return opened
  }
  return {
    get: () => {
      const opened = (current ??= open())
      return opened.isOpen ? opened.client : opened.connected.then(() => opened.client)
    },
    renew: () => {
      const silent = current
      current = undefined
      if (silent?.client.isOpen === true) silent.destroy()
    },
    close: async () => {
      const closing = current
      if (closing === undefined) return
      await closing.connected.catch(() => undefined)
      if (!closing.client.isOpen) return
      // A missing answer must not keep the process alive.
      const timer = setTimeout(closing.destroy, timeoutMs)
      try {
        if (closing.client.isReady) await closing.client.close()
        else closing.destroy()
      } finally {
        clearTimeout(timer)
      }
    },
  }
}
