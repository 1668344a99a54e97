import { toText, type GapCause } from '../../protocol/index.ts'
import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import { describe, RelayError } from '../errors.ts'
import { parseHeartbeat } from './heartbeat.ts'
import type { JournalIntake } from './pubsub-intake.ts'
import { heartbeatChannel, RELAY_PREFIX } from '../redis/keys.ts'
import { createLiveness, LOST_MS } from './liveness.ts'
import type { Metrics } from '../metrics.ts'
import { firstMatch, hashPatterns } from './pattern.ts'
import type { Numbers } from '../redis/numbers.ts'
import { createRedis, type Failing, type Redis } from '../redis/client.ts'
import type { RedisAddress } from '../redis/address.ts'
import type { ServerView } from '../redis/output-buffer.ts'
import { stamp } from '../notification/stamp.ts'

/** A span in which PubSub was not heard. `number`: of the first that is heard after it, or lower. */
export type Gap = { readonly fromMs: number; readonly toMs: number; readonly cause: GapCause; readonly number: number }

export type PubsubSourceOptions = {
  readonly sourceId: string
  /** Where the index begins in what this relay numbers by itself. */
  readonly ownIndex: number
  readonly address: RedisAddress
  readonly patterns: readonly string[]
  /** For commands: a connection that listens cannot send any. */
  readonly client: Redis
  readonly intake: JournalIntake
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
  readonly numbers: Numbers
  readonly serverView: ServerView
  /** The connections to this server that fail now. */
  readonly failing: Failing
  /** Until when (ms) a former process heard this source. */
  readonly heardUntilMs: number | undefined
  /** Resolves when the server is known to be the one that goes by this source's name. Rejects when it is another one. */
  readonly verify: () => Promise<void>
  readonly onGap: (gap: Gap) => void
  /** Called with what keeps it from being heard. */
  readonly onFailed: (error: unknown) => void
  /** Called with each heartbeat that is heard: when, and until when (ms) all is heard that was published. */
  readonly onHeard: (atMs: number, untilMs: number) => void
}

/** A heartbeat proves this often that the subscription is alive. */
const HEARTBEAT_MS = 1_000

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

/** Listens until the signal aborts: connection after connection, each span without one announced as a gap. */
export async function runPubsubSource(options: PubsubSourceOptions, signal: AbortSignal): Promise<void> {
  const { sourceId, log, now, onGap, serverView } = options
  let heardUntilMs = options.heardUntilMs
  let cause: GapCause = 'start'
  let wasHeard = false
  let failures = 0
  let isForeignLogged = false
  const onForeign = (bytes: number) => {
    if (!isForeignLogged)
      log.warn(
        { code: 'relay.pubsub.heartbeat_ignored', source: sourceId, bytes },
        'The relay ignores a message on its heartbeat channel that no relay of this version published',
      )
    isForeignLogged = true
  }
  const onAlive = (number: number) => {
    failures = 0
    wasHeard = true
    // The very first start of all has no span before it.
    if (heardUntilMs === undefined) return
    const toMs = now()
    // The clock may have been set back meanwhile: then nobody knows how long it was.
    onGap({ fromMs: Math.min(heardUntilMs, toMs), toMs, cause, number })
  }
  const onHeard = (atMs: number, untilMs: number) => {
    heardUntilMs = untilMs
    options.onHeard(atMs, untilMs)
  }
  while (!signal.aborted) {
    try {
      // Was a client cut off for its output buffer since the last time? Then this one was, as far as is known.
      const overran = await serverView.overran().catch(() => false)
      if (wasHeard && overran) cause = 'output_buffer_overrun'
      await options.verify()
      await listen(options, signal, { onAlive, onHeard, onForeign })
      return
    } catch (error) {
      serverView.listenerId = undefined
      if (signal.aborted) return
      options.onFailed(error)
      // The first failure is the cause of the gap; those that follow only make it longer.
      if (wasHeard && failures === 0)
        cause =
          error instanceof RelayError && error.code === 'relay.pubsub.heartbeat_lost' ? 'heartbeat_lost' : 'reconnect'
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

type ListenEvents = {
  /** Called with the number of the first that was heard, when a heartbeat is heard for the first time. */
  readonly onAlive: (number: number) => void
  readonly onHeard: PubsubSourceOptions['onHeard']
  /** Called with the size of a message on the heartbeat's channel that is no heartbeat. */
  readonly onForeign: (bytes: number) => void
}

/** One connection: resolves when the signal aborts, throws when the connection is lost. */
async function listen(
  options: PubsubSourceOptions,
  signal: AbortSignal,
  { onAlive, onHeard, onForeign }: ListenEvents,
): Promise<void> {
  const { sourceId, address, patterns, client, intake, log, metrics, now, numbers, serverView, failing } = options
  const connection = createRedis({ ...address, name: `${sourceId} PubSub`, log, reconnect: false, failing })
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

  const becomeAlive = () => {
    if (!alive) onAlive(first)
    alive = true
  }
  const liveness = createLiveness({
    ping: () => connection.ping(),
    isReady: () => connection.isReady,
    onAnswer: (askedMs) => {
      becomeAlive()
      onHeard(now(), askedMs)
    },
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
    becomeAlive()
    // All that was published before this heartbeat is heard; what was published behind it may be on its way, and lost with the
    // connection. Its number is the clock's when it was sent, or a little more; one that is ahead of the clock tells nothing, and then it
    // is taken to be as old as the one before the last.
    const nowMs = now()
    onHeard(nowMs, beat <= nowMs ? Math.min(beat, sentMs) : sentBeforeMs)
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
      client
        .publishHeartbeat({ leastNumber: numbers.least(), channel: channelName })
        .then((published) => liveness.published(published), options.onFailed)
      await sleep(HEARTBEAT_MS, signal)
      // A process that stood still heard nothing, and all of it waits to be read.
      liveness.stood(Math.max(0, performance.now() - sentAt - HEARTBEAT_MS))
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
  const late = setTimeout(
    () =>
      lost.reject(
        new RelayError('relay.pubsub.disconnected', `Redis did not confirm the subscription within ${LOST_MS} ms`),
      ),
    LOST_MS,
  )
  try {
    // A client that lost its connection never settles what it is asked then.
    await Promise.race([subscribe(), lost.promise])
    clearTimeout(late)
    liveness.begin()
    await Promise.race([beats(), lost.promise])
  } finally {
    clearTimeout(late)
    connection.destroy()
  }
}
