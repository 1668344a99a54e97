import { createChangeDetector, sleep, sleepToBeat, within } from '../../runtime/index.ts'
import { describe, RelayError } from '../relay-error.ts'
import type { ListState } from '../lists/list-intake.ts'
import type { Tools } from '../metrics.ts'
import { isAnswer, isDenied, isUnknown, judgeRedis, sentenceOf, type RedisFault } from '../redis/advice.ts'
import { connect, type Redis } from '../redis/redis-client.ts'
import { PARKED_KEY, RELAYS_KEY, SEEN_EMPTY_KEY } from '../redis/relay-keys.ts'
import { LEASE_MS } from '../redis/lease.ts'
import type { Identity } from '../redis/source-identity.ts'
import type { SourceTools } from '../source.ts'

/** 0 means no limit. */
type Limit = { readonly hardBytes: number; readonly softBytes: number; readonly softSeconds: number }

/** Reads the limit of a Pub/Sub client from the setting `client-output-buffer-limit`; undefined when it is missing. */
export function parseLimit(setting: string): Limit | undefined {
  const [, hard, soft, seconds] = /pubsub (\d+) (\d+) (\d+)/.exec(setting) ?? []
  if (hard === undefined) return undefined
  return { hardBytes: Number(hard), softBytes: Number(soft), softSeconds: Number(seconds) }
}

/**
 * Returns the smaller of both limits; 0 when there is none. The soft limit applies only when it is exceeded for some time, but the relay warns of it
 * all the same.
 */
export const smallestOf = ({ hardBytes, softBytes }: Limit): number =>
  hardBytes > 0 && softBytes > 0 ? Math.min(hardBytes, softBytes) : hardBytes + softBytes

/** The limit is read at every thirtieth check: it changes rarely, and only by hand. */
const LIMIT_EVERY = 30

/**
 * Watches the server's output buffer of the Pub/Sub connection: how many bytes wait there, and the limit at which the server closes the connection.
 * Logs once each command that the user may not run, and continues without its figures.
 */
export function createOutputBuffer({ client, sourceId, log, metrics }: Omit<SourceTools, 'now'>) {
  const denied = new Set<string>()
  let listenerId: number | undefined
  /** The smallest limit; 0 when there is none, undefined when the server does not report it. */
  let limitBytes: number | undefined
  let checksDone = 0
  const change = createChangeDetector()
  /** Servers before Redis 6.2 can list only all clients, which may be many. */
  let listsAll = false
  /** The server's count of clients that it disconnected at their limit, and the bytes that waited for our connection at the last check. */
  let disconnections = Number.NaN
  let seenBytes = 0

  /** Resolves with undefined when the server does not answer this command. */
  const ask = async <T>(what: string, command: () => Promise<T>): Promise<T | undefined> => {
    if (denied.has(what)) return undefined
    try {
      return await command()
    } catch (error) {
      if (!isAnswer(error)) throw error
      // A server that is busy or loads its data answers later.
      if (!isDenied(error) && !isUnknown(error) && !/^ERR\b|syntax/.test(describe(error))) return undefined
      denied.add(what)
      log.info(
        { code: 'relay.redis.not_told', source: sourceId, command: what },
        'Redis refuses this command, so the relay continues without its figures; allow the command if you want them',
      )
      return undefined
    }
  }

  const askLimit = async (): Promise<number | undefined> => {
    const reply = await ask('CONFIG GET', () => client.configGet('client-output-buffer-limit'))
    const limit = parseLimit(reply?.['client-output-buffer-limit'] ?? '')
    return limit && smallestOf(limit)
  }

  /** Returns how many bytes wait at the server for the Pub/Sub connection. */
  const askBuffer = async (id: number): Promise<number | undefined> => {
    const list = (...which: string[]) => client.sendCommand<string>(['CLIENT', 'LIST', ...which])
    const reply = await ask('CLIENT LIST', async () => {
      if (listsAll) return list()
      try {
        return await list('ID', String(id))
      } catch (error) {
        if (!/syntax error/i.test(describe(error))) throw error
        listsAll = true
        return list()
      }
    })
    const own = reply?.split('\n').find((line) => line.startsWith(`id=${id} `))
    const bytes = / omem=(\d+)/.exec(own ?? '')?.[1]
    return bytes === undefined ? undefined : Number(bytes)
  }

  const askInfo = (section: string) => ask('INFO', () => client.info(section))
  const isHigh = (bytes: number): boolean => (limitBytes ?? 0) > 0 && bytes >= (limitBytes ?? 0) / 2

  return {
    /** The server's id of the Pub/Sub connection; undefined while there is none. */
    set listenerId(id: number | undefined) {
      listenerId = id
      change(undefined)
    },
    /**
     * Whether the server closed a client at its output buffer limit since the last call, as far as it reports that. Redis 7.2 counts it. From 5.0 on,
     * Redis reports how much the fullest buffer of the last seconds held. @throws what the connection throws
     */
    async overran(): Promise<boolean> {
      const [stats, clients] = [await askInfo('stats'), await askInfo('clients')]
      const info = `${stats ?? ''}${clients ?? ''}`
      const read = (field: string) => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1] ?? Number.NaN)
      const [count, former] = [read('client_output_buffer_limit_disconnections'), disconnections]
      disconnections = count
      if (!Number.isNaN(count)) return count > former
      return isHigh(Math.max(read('client_recent_max_output_buffer') || 0, seenBytes))
    },
    /** Checks once. @throws what the connection throws */
    async check(): Promise<void> {
      if (listenerId === undefined) return
      if (checksDone++ % LIMIT_EVERY === 0) limitBytes = await askLimit()
      const bytes = await askBuffer(listenerId)
      if (bytes === undefined) return
      seenBytes = bytes
      metrics.outputBuffer.set({ source: sourceId }, bytes)
      if (limitBytes === undefined) return
      metrics.outputBufferLimit.set({ source: sourceId }, limitBytes)
      if (change(isHigh(bytes) ? 'high' : undefined) === 'new')
        log.warn(
          { code: 'relay.pubsub.backlog', source: sourceId, bytes, limitBytes },
          'The output buffer of Redis for this relay is half full, and Redis closes the connection when it is full; give the relay more CPU, or raise client-output-buffer-limit pubsub',
        )
    },
  }
}

export type OutputBuffer = ReturnType<typeof createOutputBuffer>

export type WatchOptions = Tools & {
  readonly sourceId: string
  readonly client: Redis
  readonly identity: Pick<Identity, 'check'>
  readonly lists: ReadonlyMap<string, ListState>
  readonly outputBuffer: OutputBuffer
  /** Called when Redis has answered; with the fault if it answered with an error. */
  readonly onAnswered: (atMs: number, refusal: RedisFault | undefined) => void
  /** Called when Redis answers without an error and has confirmed its name: the relay may write to it. */
  readonly onWell: () => void
}

/** How often (ms) the server is checked for metrics and readiness. */
const WATCH_MS = 2_000

/** A connection without an answer for this long (ms) is replaced. If it was only slow, that costs nothing. */
const MAX_ANSWER_MS = 5_000

/** Checks a source until the signal aborts, in one round trip: whether it answers, its name, its backlogs, and which relays run. */
export async function watchSource(options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { sourceId, client, identity, outputBuffer, log, now, onAnswered, onWell } = options
  const change = createChangeDetector()
  while (!signal.aborted) {
    let isAnswered = false
    try {
      const answer = client.ping()
      const checks = Promise.allSettled([identity.check(), readBacklogs(options), outputBuffer.check()])
      const refusal = await refusalOf(answer)
      // Logged once for each fault, and once when Redis answers without an error again.
      const changed = change(refusal?.words)
      if (changed === 'new' && refusal !== undefined)
        log.warn({ code: refusal.code, source: sourceId, error: refusal.words }, sentenceOf(refusal))
      if (changed === 'over')
        log.info({ code: 'relay.redis.recovered', source: sourceId }, 'Redis answers without an error again')
      onAnswered(now(), refusal)
      const [identified] = await checks
      isAnswered = true
      if (refusal === undefined && identified.status === 'fulfilled') onWell()
      if (refusal === undefined && identified.status === 'rejected')
        log.debug(
          { code: 'relay.source.not_verified', source: sourceId, error: describe(identified.reason) },
          'The relay could not verify the source id in Redis; it retries',
        )
    } catch (error) {
      log.debug(
        { code: 'relay.redis.not_watched', source: sourceId, error: describe(error) },
        'Redis did not answer the regular check',
      )
      // The connection is dead, whatever TCP says.
      if (error instanceof RelayError && client.isOpen) {
        client.destroy()
        await connect(client, signal)
      }
    }
    await (isAnswered ? sleepToBeat(WATCH_MS, signal) : sleep(WATCH_MS / 10, signal))
  }
}

/**
 * Resolves with the fault if Redis answers with an error: an error reply is an answer too. @throws RelayError `relay.redis.no_answer` when Redis
 * stays silent, or what the client throws
 */
const refusalOf = (answer: Promise<unknown>): Promise<RedisFault | undefined> =>
  within(
    MAX_ANSWER_MS,
    answer.then(
      () => undefined,
      (error: unknown) => (isAnswer(error) ? judgeRedis(error) : Promise.reject(error)),
    ),
    () => new RelayError('relay.redis.no_answer', `Redis did not answer within ${MAX_ANSWER_MS} ms`),
  )

/** Reads each figure by itself, so that a key of the wrong type or a denied command hides no other figure. */
async function readBacklogs({ sourceId, client, lists, metrics, now }: WatchOptions): Promise<void> {
  const source = { source: sourceId }
  await Promise.allSettled([
    client.lLen(PARKED_KEY).then((items) => metrics.parkedItems.set(source, items)),
    client.zCount(RELAYS_KEY, now() - LEASE_MS, '+inf').then((relays) => metrics.relays.set(source, relays)),
    ...[...lists].map(async ([list, state]) => {
      const [items, empty] = await Promise.all([client.lLen(list), client.hGet(SEEN_EMPTY_KEY, list)])
      state.items = items
      metrics.backlog.set({ ...source, list }, items)
      // When the list was never seen empty, the wait is unknown.
      const waitedMs = items === 0 ? 0 : empty === null ? Number.NaN : Math.max(0, now() - Number(empty))
      metrics.backlogWait.set({ ...source, list }, waitedMs / 1000)
    }),
  ])
}
