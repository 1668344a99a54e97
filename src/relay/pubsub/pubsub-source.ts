import { toText, type GapCause } from '../../protocol/index.ts'
import { backoffMs, createNews, sleep, sleepToBeat, within, type Logger } from '../../runtime/index.ts'
import type { SourceConfig } from '../config.ts'
import { describe, RelayError } from '../errors.ts'
import { hashPatterns, parseHeartbeat } from './heartbeat.ts'
import type { JournalIntake } from './pubsub-intake.ts'
import { heartbeatChannel, RELAY_PREFIX } from '../redis/keys.ts'
import { createLiveness, LOST_MS } from './liveness.ts'
import type { Metrics } from '../metrics.ts'
import { firstMatch } from './pattern.ts'
import type { Numbers } from '../redis/numbers.ts'
import { createRedis, type Failing, type Redis } from '../redis/client.ts'
import { isAnswer, judgeRedis, type RedisFault } from '../redis/advice.ts'
import type { ServerView } from '../redis/output-buffer.ts'
import type { Identity } from '../redis/source-identity.ts'
import type { SourceNotes } from '../journal/journal-notes.ts'
import type { Announcer } from '../notification/announcer.ts'
import { stamp } from '../notification/stamp.ts'

/** What readiness looks at, and what outlives a connection. */
export type PubsubState = {
  /** When (ms) the last heartbeat was heard. */
  heardMs: number | undefined
  /** Until when (ms) all that was published was heard, by this process or a former one. */
  heardUntilMs: number | undefined
  /** Why nothing can be heard now. */
  fault: RedisFault | undefined
}

export type PubsubSourceOptions = {
  readonly source: SourceConfig
  readonly patterns: readonly string[]
  readonly state: PubsubState
  /** For commands: a connection that listens cannot send any. */
  readonly client: Redis
  /** The connections to this server that fail now. */
  readonly failing: Failing
  readonly identity: Pick<Identity, 'verify'>
  readonly serverView: ServerView
  readonly numbers: Numbers
  /** Where the index begins in what this relay numbers by itself. */
  readonly ownIndex: number
  readonly intake: Pick<JournalIntake, 'hear'>
  readonly notes: Pick<SourceNotes, 'heard'>
  readonly announcer: Pick<Announcer, 'announceGap'>
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
}

/** A heartbeat proves this often that the subscription is alive. */
const HEARTBEAT_MS = 1_000

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

/** Listens until the signal aborts: connection after connection, each time span without one announced as a gap. */
export async function runPubsubSource(options: PubsubSourceOptions, signal: AbortSignal): Promise<void> {
  const { source, state, identity, serverView, announcer, log, now } = options
  let cause: GapCause = 'start'
  let wasHeard = false
  let failures = 0
  const change = createNews()
  const events: ListenEvents = {
    onAlive(number) {
      failures = 0
      wasHeard = true
      // The very first start of all has no time span before it.
      if (state.heardUntilMs === undefined) return
      const toMs = now()
      // The clock may have been set back meanwhile: then nobody knows how long it was.
      announcer.announceGap(source.id, { fromMs: Math.min(state.heardUntilMs, toMs), toMs, cause, number })
    },
    onForeign(bytes) {
      if (change('foreign') === 'new')
        log.warn(
          { code: 'relay.pubsub.heartbeat_ignored', source: source.id, bytes },
          'The relay ignores a message on its heartbeat channel that no relay of this version published',
        )
    },
  }
  while (!signal.aborted) {
    try {
      // Was a client cut off for its output buffer since the last time? Then this one was, as far as is known.
      const overran = await serverView.overran().catch(() => false)
      if (wasHeard && overran) cause = 'output_buffer_overrun'
      await identity.verify()
      await listen(options, signal, events)
      return
    } catch (error) {
      serverView.listenerId = undefined
      if (signal.aborted) return
      noteFault(state, error)
      // The first failure is the cause of the gap; those that follow only make it longer.
      if (wasHeard && failures === 0)
        cause =
          error instanceof RelayError && error.code === 'relay.pubsub.heartbeat_lost' ? 'heartbeat_lost' : 'reconnect'
      failures++
      if (failures === 1)
        log.warn(
          { code: 'relay.pubsub.unheard', source: source.id, error: describe(error) },
          'The Pub/Sub subscription is lost; the relay reconnects',
        )
      await sleep(backoffMs(failures, { baseMs: 50, maxMs: 1_000 }), signal)
    }
  }
}

/** What Redis answers is the reason; silence shows by itself. */
const noteFault = (state: PubsubState, error: unknown): void => {
  if (isAnswer(error)) state.fault = judgeRedis(error)
}

type ListenEvents = {
  /** Called when a heartbeat is heard for the first time, with the number that the first notifications have. */
  readonly onAlive: (number: number) => void
  /** Called with the size of a message on the heartbeat's channel that is no heartbeat. */
  readonly onForeign: (bytes: number) => void
}

/** One connection: resolves when the signal aborts, throws when the connection is lost. */
async function listen(
  options: PubsubSourceOptions,
  signal: AbortSignal,
  { onAlive, onForeign }: ListenEvents,
): Promise<void> {
  const { source, patterns, state, client, intake, notes, numbers, serverView, failing, log, metrics, now } = options
  const sourceId = source.id
  const connection = createRedis({ ...source, name: `${sourceId} PubSub`, log, reconnect: false, failing })
  const lost = Promise.withResolvers<never>()
  lost.promise.catch(() => undefined)
  connection.on('error', (error: unknown) => lost.reject(error))
  connection.on('end', () => lost.reject(new RelayError('relay.pubsub.disconnected', 'Redis closed the connection')))

  // Until the first heartbeat is heard, ids are made from a number that nobody else has.
  const first = await numbers.next()
  let number = first
  let index = options.ownIndex
  let alive = false
  let sentAt = performance.now()
  // When (ms) a heartbeat was sent last, and before that.
  let sentMs = now()
  let sentBeforeMs = sentMs
  const channelName = heartbeatChannel(hashPatterns(patterns))
  // By pattern, so that one that is named twice is listened to once.
  const globs = new Map(patterns.map((pattern) => [pattern, Buffer.from(pattern).toString('latin1')]))
  const ordered = [...globs.values()]

  const heard = (untilMs: number) => {
    if (!alive) onAlive(first)
    alive = true
    state.heardMs = now()
    state.heardUntilMs = untilMs
    state.fault = undefined
    notes.heard(untilMs)
  }
  const liveness = createLiveness({
    ping: () => connection.ping(),
    isReady: () => connection.isReady,
    onAnswer: heard,
    now,
  })
  const onBeat = (message: Buffer) => {
    const beat = parseHeartbeat(latin1(message))
    if (beat === undefined) return onForeign(message.length)
    numbers.seen(beat)
    // On a replica nobody can keep the last number, and two relays may come to the same one: it begins no second epoch, or ids would repeat.
    if (beat > number) {
      number = beat
      index = 0
    }
    liveness.heard(beat)
    metrics.heartbeat.set({ source: sourceId }, (performance.now() - sentAt) / 1000)
    // All that was published before this heartbeat is heard; what was published behind it may be on its way, and lost with the
    // connection. Its number is the clock's when it was sent, or a little more; one that is ahead of the clock tells nothing, and then it
    // is taken to be as old as the one before the last.
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
    intake.hear(stamped, {
      route: stamped.route.name,
      sourceId,
      channel,
      number: received.number,
      index: received.index,
      timeMs,
      packet,
    })
  }

  const beats = async (): Promise<void> => {
    while (!signal.aborted) {
      liveness.check()
      sentAt = performance.now()
      sentBeforeMs = sentMs
      sentMs = now()
      // A failure here shows as silence; what the command connection suffers from is said by itself.
      client.publishHeartbeat({ leastNumber: numbers.least(), channel: channelName }).then(
        (published) => liveness.published(published),
        (error: unknown) => noteFault(state, error),
      )
      await sleepToBeat(HEARTBEAT_MS, signal)
      // A process that stood still heard nothing, and all of it waits to be read.
      liveness.stood(Math.max(0, performance.now() - sentAt - 1.5 * HEARTBEAT_MS))
    }
  }
  const subscribe = async (): Promise<void> => {
    await connection.connect()
    // Asked before it listens, for then it cannot ask any more. A server that does not tell goes unwatched.
    serverView.listenerId = await connection.sendCommand(['CLIENT', 'ID']).then(Number, () => undefined)
    // The heartbeat last: the index counts from one, so nothing may be missed behind the first that is heard.
    for (const [pattern, glob] of globs) await connection.pSubscribe(pattern, onMessage(glob), true)
    await connection.subscribe(channelName, onBeat, true)
  }
  const late = () =>
    new RelayError('relay.pubsub.disconnected', `Redis did not confirm the subscription within ${LOST_MS} ms`)
  try {
    // A client that lost its connection never settles what it is asked then.
    await within(LOST_MS, Promise.race([subscribe(), lost.promise]), late)
    liveness.begin()
    await Promise.race([beats(), lost.promise])
  } finally {
    connection.destroy()
  }
}
