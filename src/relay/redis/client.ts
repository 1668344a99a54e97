import { createClient, RESP_TYPES } from 'redis'
import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import { askWhy } from './ask-why.ts'
import { isRefused, isVague, judgeRedis, sentenceOf, type RedisFault } from './advice.ts'
import { toClientOptions, type RedisAddress } from './address.ts'
import { scripts } from './scripts.ts'

export type RedisOptions = RedisAddress & {
  /** For log lines. */
  readonly name: string
  readonly log: Logger
  /** Whether the client reconnects by itself. If not, the owner makes a new client. */
  readonly reconnect: boolean
  /** Shared by all connections to one server, so that an outage is logged once. Default: of this connection alone. */
  readonly failing?: Failing
}

/** Which connections to one server fail now, and why. */
export type Failing = {
  /** Their names. */
  readonly connections: Set<string>
  /** The best known cause; undefined while no connection fails. */
  fault: RedisFault | undefined
  /** The codes that were logged in this outage. */
  readonly said: Set<string>
  /** When (`performance.now()`) the server was last asked for the cause. */
  askedAt: number
}

export const createFailing = (): Failing => ({
  connections: new Set(),
  fault: undefined,
  said: new Set(),
  askedAt: Number.NEGATIVE_INFINITY,
})

/** A connection without a reply for this long (ms) counts as dead: each of ours gets one every few seconds. */
const SILENCE_MS = 10_000

/**
 * Creates a client for the dialler's Redis. `RESP: 2`, because old servers know no other. No offline queue, because a queued command would
 * run when nobody expects it any more. With client info (an old server's refusal is ignored), a connection counts as ready only when Redis
 * has answered. Without it, a connection that is accepted and closed at once (too many clients, a proxy with nothing behind it) would be
 * made again thousands of times a second.
 */
export function createRedis({ name, log, reconnect, failing = createFailing(), ...address }: RedisOptions) {
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
      socketTimeout: SILENCE_MS,
      reconnectStrategy: reconnect ? (retries) => backoffMs(retries + 1, { baseMs: 50, maxMs: 1_000 }) : false,
    },
  })
  client.on('error', (error: unknown) => void noteFailure(error, name, failing, address, log))
  const isOver = () => {
    if (!failing.connections.delete(name) || failing.connections.size > 0) return false
    failing.fault = undefined
    failing.said.clear()
    return true
  }
  client.on('ready', () => {
    if (isOver()) log.info({ code: 'relay.redis.recovered', connection: name }, 'Redis answers again')
  })
  // A connection that is given up fails no longer.
  client.on('end', isOver)
  return client
}

/** How often (ms) at most a server is asked why it ends connections. */
const ASK_MS = 10_000

/** Logs an outage when it begins, and again for each cause that becomes known while it lasts. */
async function noteFailure(
  error: unknown,
  name: string,
  failing: Failing,
  address: RedisAddress,
  log: Logger,
): Promise<void> {
  const fault = judgeRedis(error)
  failing.connections.add(name)
  // A vague error does not replace a known cause: after Redis has given its reason, it cuts the connection.
  if (!isVague(fault) || isRefused(fault) || failing.fault === undefined) say(fault, name, failing, log)
  if (!isVague(fault) || isRefused(fault) || performance.now() - failing.askedAt < ASK_MS) return
  failing.askedAt = performance.now()
  const reason = await askWhy(address)
  if (reason !== undefined && failing.connections.size > 0) say(judgeRedis(reason), name, failing, log)
}

function say(fault: RedisFault, name: string, failing: Failing, log: Logger): void {
  failing.fault = fault
  if (failing.said.has(fault.code)) return
  failing.said.add(fault.code)
  log.warn({ code: fault.code, connection: name, error: fault.words }, sentenceOf(fault))
}

export type Redis = ReturnType<typeof createRedis>

/** The same client with replies as bytes. */
export const asBytes = (client: Redis) => client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })

/** Connects, however often that fails: node-redis does not retry a first connection. */
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
