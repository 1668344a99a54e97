import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { createClient, ErrorReply, RESP_TYPES } from 'redis'
import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import { RelayError } from '../relay-error.ts'
import { hostOf, toClientOptions, toTlsOptions, type RedisAddress } from './address.ts'
import { isUnexplained, judgeRedis, sentenceOf, type RedisFault } from './advice.ts'
import { scripts } from './relay-keys.ts'

type RedisOptions = RedisAddress & {
  /** The connection's name in log lines. */
  readonly name: string
  readonly log: Logger
  /** Whether the client reconnects by itself. If not, its owner creates a new client. */
  readonly reconnect: boolean
  /** Shared by all connections to one server, so that an outage is logged once. Default: this connection alone. */
  readonly failing?: Failing
}

/** Creates the record of the connections to one server that currently fail, and the cause. */
export const createFailureRecord = () => ({
  /** The names of the connections. */
  connections: new Set<string>(),
  /** The best known cause; undefined while no connection fails. */
  fault: undefined as RedisFault | undefined,
  /** The codes that were logged in this outage. */
  logged: new Set<string>(),
  /** When (`performance.now()`) the server was last asked for the cause. */
  askedAt: Number.NEGATIVE_INFINITY,
})

export type Failing = ReturnType<typeof createFailureRecord>

/** A connection without a reply for this long (ms) counts as dead: each of the relay's connections gets one every few seconds. */
const MAX_SILENCE_MS = 10_000

/** The shortest time (ms) between two questions to a server why it ends connections. */
const ASK_MS = 10_000

/**
 * Creates a client for the dialler's Redis. It uses `RESP: 2`, because old servers know no other version. It has no offline queue, because a queued
 * command would run when nobody expects it any more. It sends client info (an old server's refusal is ignored), so that a connection counts as ready
 * only when Redis has answered. Without it, a connection that is accepted and closed at once (too many clients, a proxy without a server behind it)
 * would be made again thousands of times a second. Logs an outage when it begins, and again for each cause that becomes known while it lasts.
 */
export function createRedis({ name, log, reconnect, failing = createFailureRecord(), ...address }: RedisOptions) {
  const { tls, ...access } = toClientOptions(address)
  const client = createClient({
    ...access,
    RESP: 2,
    scripts,
    clientInfoTag: 'enigma-relay',
    disableOfflineQueue: true,
    socket: {
      ...tls,
      connectTimeout: 5_000,
      socketTimeout: MAX_SILENCE_MS,
      reconnectStrategy: reconnect ? (retries) => backoffMs(retries + 1, { baseMs: 50, maxMs: 1_000 }) : false,
    },
  })
  const say = (fault: RedisFault) => {
    failing.fault = fault
    if (failing.logged.has(fault.code)) return
    failing.logged.add(fault.code)
    log.warn({ code: fault.code, connection: name, error: fault.words }, sentenceOf(fault))
  }
  const noteFailure = async (error: unknown): Promise<void> => {
    const fault = judgeRedis(error)
    failing.connections.add(name)
    // A vague error does not replace a known cause: after Redis has given its reason, it closes the connection.
    if (!isUnexplained(fault) || failing.fault === undefined) say(fault)
    if (!isUnexplained(fault) || performance.now() - failing.askedAt < ASK_MS) return
    failing.askedAt = performance.now()
    const reason = await askWhy(address)
    if (reason !== undefined && failing.connections.size > 0) say(judgeRedis(reason))
  }
  const isOver = () => {
    if (!failing.connections.delete(name) || failing.connections.size > 0) return false
    failing.fault = undefined
    failing.logged.clear()
    return true
  }
  client.on('error', (error: unknown) => void noteFailure(error))
  client.on('ready', () => {
    if (isOver()) log.info({ code: 'relay.redis.recovered', connection: name }, 'Redis answers again')
  })
  // A connection that is closed on purpose no longer fails.
  client.on('end', isOver)
  return client
}

export type Redis = ReturnType<typeof createRedis>

/** Returns the same client with replies as bytes. */
export const asBytes = (client: Redis) => client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })

/** Connects, and retries until the signal aborts: node-redis does not retry a first connection. */
export async function connect(client: Redis, signal: AbortSignal): Promise<void> {
  for (let failures = 1; !signal.aborted && !client.isOpen; failures++) {
    try {
      await client.connect()
    } catch {
      // Logged by the client's error listener.
      await sleep(backoffMs(failures, { maxMs: 1_000 }), signal)
    }
  }
}

/** Wraps work so that calls made while it runs share its result. */
export function shareRuns<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  return () => {
    running ??= work().finally(() => (running = undefined))
    return running
  }
}

/** Judges the error of a connection. If it explains nothing, asks the server. Never throws. */
export async function judgeConnection(error: unknown, address: RedisAddress): Promise<RedisFault> {
  const fault = judgeRedis(error)
  const reason = isUnexplained(fault) ? await askWhy(address) : undefined
  return reason === undefined ? fault : judgeRedis(reason)
}

/**
 * Finds out why a connection ends or hangs without an error. A server without room for another client says so and closes at once; node-redis takes
 * that message for the answer to a command whose failure it ignores. A TLS port and a client without TLS do not understand each other at all. So this
 * connects, and at first sends nothing. Resolves with an error that explains the problem, or undefined. Never throws.
 */
export async function askWhy(address: RedisAddress): Promise<Error | undefined> {
  try {
    const { host, port, isTls } = hostOf(address)
    const at = { host, port: Number(port) }
    if (isTls) {
      const heard = await listen(connectTls({ ...at, ...toTlsOptions(address) }), '')
      // A reset explains nothing. All other errors come from OpenSSL, or from Node's check of the certificate.
      if (heard.error !== undefined && !/^E[A-Z]+$/.test(heard.error.code ?? '')) return heard.error
      const reply = toReason(heard.text)
      if (reply !== undefined) return reply
      const { text } = await listen(connectTcp(at), 'PING\r\n')
      return /^[+-]/.test(text)
        ? new RelayError('relay.redis.plain_port', `the server answered ${quote(text)}`)
        : undefined
    }
    const { text } = await listen(connectTcp(at), 'PING\r\n')
    if (text !== '') return toReason(text)
    // The certificate does not matter, because nothing is sent.
    const { error, isOpen } = await listen(connectTls({ ...at, rejectUnauthorized: false }), '')
    const speaksTls = error === undefined ? isOpen : /alert/i.test(`${error.code} ${error.message}`)
    return speaksTls ? new RelayError('relay.redis.tls_port', 'the server answered with TLS') : undefined
  } catch {
    return undefined
  }
}

/** How long (ms) a server may take to give a reason unasked, and to answer a question. */
const UNASKED_MS = 300
const MAX_ANSWER_MS = 1_000

/** Reads what arrives unasked, then sends `question`, if there is one, and reads until the connection ends or the time is up. */
async function listen(socket: Socket, question: string) {
  let text = ''
  let error: NodeJS.ErrnoException | undefined
  let isConnected = false
  const ended = Promise.withResolvers<void>()
  let timer = setTimeout(ended.resolve, MAX_ANSWER_MS)
  socket
    .on('encrypted' in socket ? 'secureConnect' : 'connect', () => {
      isConnected = true
      clearTimeout(timer)
      timer = setTimeout(() => {
        if (question === '') return ended.resolve()
        socket.write(question)
        timer = setTimeout(ended.resolve, MAX_ANSWER_MS)
      }, UNASKED_MS)
    })
    .on('data', (chunk: Buffer) => {
      text = (text + chunk.toString('latin1')).slice(0, 500)
      if (text.includes('\n')) ended.resolve()
    })
    .on('error', (reason) => (error = reason))
    .on('close', () => ended.resolve())
  await ended.promise
  clearTimeout(timer)
  const isOpen = isConnected && !socket.destroyed
  socket.destroy()
  return { text, isOpen, error }
}

/** Returns the server's reason; undefined when it gave none, or answered as a healthy server does. */
function toReason(text: string): Error | undefined {
  // NOAUTH explains nothing, because the relay's own connection logs in first.
  if (text === '' || /^(\+|-NOAUTH)/.test(text)) return undefined
  if (text.startsWith('-')) return new ErrorReply(quote(text.slice(1)))
  return new RelayError('relay.redis.not_redis', `the server answered ${quote(text)}`)
}

/** Returns the first line, without control characters. */
const quote = (text: string): string => (text.split(/\r?\n/)[0] ?? '').replace(/\p{Cc}+/gu, ' ').slice(0, 200)
