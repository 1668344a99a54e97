import { toText, type GapCause } from '../../protocol/index.ts'
import { backoffMs, createChangeDetector, sleep, sleepToBeat, within } from '../../runtime/index.ts'
import { describe, RelayError } from '../relay-error.ts'
import { isAnswer, judgeRedis, type RedisFault } from '../redis/advice.ts'
import { createRedis } from '../redis/redis-client.ts'
import { heartbeatChannel, RELAY_PREFIX } from '../redis/relay-keys.ts'
import type { OutputBuffer } from '../health/watch-source.ts'
import type { Identity } from '../redis/source-identity.ts'
import type { SourceContext, SourceOptions } from '../source.ts'
import { createLiveness, hashPatterns, LOST_MS, parseHeartbeat, firstMatch } from './subscription.ts'
import type { PubsubIntake } from './pubsub-intake.ts'
import type { Resync } from './resync.ts'

/** The state that readiness reads, and that outlives a connection. */
export type PubsubState = {
  /** When (ms) the last heartbeat was heard. */
  heardMs: number | undefined
  /** Until when (ms) this process, or an earlier one, heard every published message. */
  heardUntilMs: number | undefined
  /** Why Pub/Sub cannot be heard now. */
  fault: RedisFault | undefined
}

/** `client` is the connection for commands, because a subscribed connection cannot send any. */
type PubsubSourceOptions = SourceContext &
  Pick<SourceOptions, 'announcer' | 'notes' | 'ownIndex' | 'stamp'> & {
    readonly state: PubsubState
    readonly identity: Pick<Identity, 'verify'>
    readonly outputBuffer: OutputBuffer
    readonly intake: Pick<PubsubIntake, 'hear'>
    readonly resync: Resync
  }

/** How often (ms) a heartbeat proves that the subscription is alive. */
const HEARTBEAT_MS = 1_000

const latin1 = (bytes: Buffer) => bytes.toString('latin1')

/** Listens until the signal aborts, connection after connection, and announces each time span without a connection as a gap. */
export async function runPubsubSource(options: PubsubSourceOptions, signal: AbortSignal): Promise<void> {
  const { sourceId, state, identity, outputBuffer, announcer, resync, log, now } = options
  let cause: GapCause = 'start'
  let wasHeard = false
  let failures = 0
  const change = createChangeDetector()
  const events = {
    onAlive(number: number) {
      failures = 0
      wasHeard = true
      const toMs = now()
      resync.begin(toMs)
      // The very first start has no time span before it.
      if (state.heardUntilMs === undefined) return
      // The clock may have been set back meanwhile: the length of the gap is then unknown.
      announcer.announceGap(sourceId, { fromMs: Math.min(state.heardUntilMs, toMs), toMs, cause, number })
    },
    onForeign(bytes: number) {
      if (change('foreign') === 'new')
        log.warn(
          { code: 'relay.pubsub.heartbeat_ignored', source: sourceId, bytes },
          'The relay ignores messages on its heartbeat channel that no relay of this version published',
        )
    },
  }
  while (!signal.aborted) {
    try {
      // Redis closed a client for exceeding its output buffer since the last attempt. As far as the relay can tell, it was this one.
      const overran = await outputBuffer.overran().catch(() => false)
      if (wasHeard && overran) cause = 'output_buffer_overrun'
      await identity.verify()
      await listen(options, signal, events)
      return
    } catch (error) {
      outputBuffer.listenerId = undefined
      if (signal.aborted) return
      noteFault(state, error)
      // The first failure is the cause of the gap. Later failures only make it longer.
      const isSilence = error instanceof RelayError && error.code === 'relay.pubsub.heartbeat_lost'
      if (wasHeard && failures === 0) cause = isSilence ? 'heartbeat_lost' : 'reconnect'
      failures++
      if (failures === 1)
        log.warn(
          { code: 'relay.pubsub.unheard', source: sourceId, error: describe(error) },
          'The Pub/Sub subscription is lost; the relay reconnects',
        )
      await sleep(backoffMs(failures, { baseMs: 50, maxMs: 1_000 }), signal)
    }
  }
}

const disconnected = (words: string) => new RelayError('relay.pubsub.disconnected', words)

/** Records an error that Redis answered. A missing answer is detected by the heartbeat. */
const noteFault = (state: PubsubState, error: unknown): void => {
  if (isAnswer(error)) state.fault = judgeRedis(error)
}

/**
 * Listens on one connection. Calls `onAlive` at the first heartbeat, with the number of the notifications heard before it, and `onForeign` with the
 * size of a message on the heartbeat channel that is not a heartbeat. Resolves when the signal aborts. @throws when the connection is lost
 */
async function listen(
  options: PubsubSourceOptions,
  signal: AbortSignal,
  { onAlive, onForeign }: { readonly onAlive: (number: number) => void; readonly onForeign: (bytes: number) => void },
): Promise<void> {
  const { source, sourceId, state, client, intake, notes, numbers, outputBuffer, failing } = options
  const { log, metrics, now, stamp } = options
  const { channels: patterns } = options.config
  const connection = createRedis({ ...source, name: `${sourceId} PubSub`, log, reconnect: false, failing })
  const lost = Promise.withResolvers<never>()
  lost.promise.catch(() => undefined)
  connection.on('error', (error: unknown) => lost.reject(error))
  connection.on('end', () => lost.reject(disconnected('Redis closed the connection')))

  // Until the first heartbeat is heard, ids are made from a number that nobody else has.
  const first = await numbers.next()
  let number = first
  let index = options.ownIndex
  let alive = false
  let sentAt = performance.now()
  // When (ms) the last heartbeat was sent, and the one before it.
  let sentMs = now()
  let sentBeforeMs = sentMs
  const channelName = heartbeatChannel(hashPatterns(patterns))
  // A map, so that a pattern that is named twice is subscribed once.
  const globs = new Map(patterns.map((pattern) => [pattern, latin1(Buffer.from(pattern))]))
  const ordered = [...globs.values()]

  const heard = (untilMs: number) => {
    if (!alive) onAlive(first)
    alive = true
    state.heardMs = now()
    state.heardUntilMs = untilMs
    state.fault = undefined
    notes.heard(untilMs)
  }
  const [ping, isReady] = [() => connection.ping(), () => connection.isReady]
  const liveness = createLiveness({ ping, isReady, onAnswer: heard, now })
  const onBeat = (message: Buffer) => {
    const beat = parseHeartbeat(latin1(message))
    if (beat === undefined) return onForeign(message.length)
    numbers.noteUsed(beat)
    // A replica cannot keep the last number, so two relays may publish the same one. It must not begin a second epoch, because ids would
    // repeat.
    if (beat > number) {
      number = beat
      index = 0
    }
    liveness.heard(beat)
    metrics.heartbeat.set({ source: sourceId }, (performance.now() - sentAt) / 1000)
    // All messages published before this heartbeat have been heard. Its number is the time at which it was sent, unless the number is ahead
    // of the clock; then the time of the heartbeat before it counts.
    heard(beat <= now() ? Math.min(beat, sentMs) : sentBeforeMs)
  }
  const onMessage = (glob: string) => (packet: Buffer, channelBytes: Buffer) => {
    liveness.arrived()
    if (ordered.length > 1 && firstMatch(ordered, latin1(channelBytes)) !== glob) return
    const channel = toText(channelBytes) ?? latin1(channelBytes)
    if (channel.startsWith(RELAY_PREFIX)) return
    const timeMs = now()
    const received = { sourceId, transport: 'pubsub' as const, channel, number, index: index++, timeMs }
    const stamped = stamp(packet, received)
    metrics.received.inc({ source: sourceId, transport: 'pubsub', route: stamped.route.name })
    if (stamped.reason !== undefined) metrics.other.inc({ source: sourceId, reason: stamped.reason })
    const entry = { route: stamped.route.name, sourceId, channel, number, index: received.index, timeMs, packet }
    intake.hear(stamped, entry)
  }

  const beats = async (): Promise<void> => {
    while (!signal.aborted) {
      liveness.check()
      sentAt = performance.now()
      sentBeforeMs = sentMs
      sentMs = now()
      const heartbeat = client.publishHeartbeat({ leastNumber: numbers.lowerBound(), channel: channelName })
      // A failed publish shows as a missing heartbeat. The listener of the command connection logs failures of that connection.
      heartbeat.then((published) => liveness.published(published)).catch((error: unknown) => noteFault(state, error))
      await sleepToBeat(HEARTBEAT_MS, signal)
      // A suspended process read nothing, and all messages of that time still wait to be read.
      liveness.noteStandstill(Math.max(0, performance.now() - sentAt - 1.5 * HEARTBEAT_MS))
    }
  }
  const subscribe = async (): Promise<void> => {
    await connection.connect()
    // Asked before it subscribes, because a subscribed connection cannot ask. If the server does not answer, its output buffer is not
    // watched.
    outputBuffer.listenerId = await connection.sendCommand(['CLIENT', 'ID']).then(Number, () => undefined)
    // The heartbeat is subscribed last: the index counts from it, so every pattern must be subscribed by then.
    for (const [pattern, glob] of globs) await connection.pSubscribe(pattern, onMessage(glob), true)
    await connection.subscribe(channelName, onBeat, true)
  }
  const late = () => disconnected(`Redis did not confirm the subscription within ${LOST_MS} ms`)
  try {
    // If the connection is lost meanwhile, the client never settles the subscribe call.
    await within(LOST_MS, Promise.race([subscribe(), lost.promise]), late)
    liveness.begin()
    await Promise.race([beats(), lost.promise])
  } finally {
    connection.destroy()
  }
}
