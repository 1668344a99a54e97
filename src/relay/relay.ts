import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { randomUUID } from 'node:crypto'
import { ROUTES, type GapCause, type Route } from '../protocol/index.ts'
import { sleep, withReleasers, type Logger } from '../runtime/index.ts'
import { sayAlive } from './health/alive.ts'
import type { RelayConfig } from './config.ts'
import { createGivenUp } from './pubsub/given-up.ts'
import { serveHealth } from './health/http.ts'
import { openJournal, type Lost } from './journal/journal.ts'
import { readJournalId } from './journal/journal-id.ts'
import { createJournalIntake } from './pubsub/pubsub-intake.ts'
import { createListIntake } from './lists/list-intake.ts'
import { beginAtZero, createMetrics, type Metrics } from './metrics.ts'
import { formatNotice, noticeChannel, stampNotice, type Notice } from './notification/notice.ts'
import { ownIndex, unaskedIndex } from './redis/numbers.ts'
import { createOutages } from './sender/outages.ts'
import { createReadiness } from './health/readiness.ts'
import { createSender, type Sender } from './sender/sender.ts'
import { createSource, type Source } from './source.ts'
import { createServers } from './redis/source-identity.ts'
import { createUplink } from './sender/uplink.ts'
import { createSqs } from './targets/sqs/sdk-client.ts'
import type { Heard } from './pubsub/unwritten.ts'

export type RelayOptions = {
  readonly config: RelayConfig
  readonly log: Logger
  /** Default: `Date.now`. */
  readonly now?: () => number
  /** Bytes of notifications in memory beyond which nothing is taken from lists. Default 64 MiB. */
  readonly memoryBytes?: number
  /** Bytes that the journal may use on disk; beyond, the oldest are given up, those that grow stale first. Default 2 GiB. */
  readonly journalBytes?: number
  /** How long (ms) SIGTERM waits for what is in flight. Default 10,000. */
  readonly shutdownMs?: number
  /** How long (ms) SQS may take to answer before a request is tried again; it knows the copy by its deduplication id. Default 10,000. */
  readonly requestTimeoutMs?: number
  /** How often (ms) it says in the cloud that it lives, while it is ready. Default 60,000. */
  readonly aliveMs?: number
  /** Called when it serves `/livez`, `/readyz` and `/metrics`, with the address. */
  readonly onListening?: (address: string) => void
}

export type Relay = {
  readonly metrics: Metrics
  /**
   * Lives until the signal aborts; then takes nothing more, settles what is in flight until a deadline, leaves the rest in
   * claims and journal, and resolves. @throws RelayError when the journal or the HTTP address cannot be had.
   */
  run: (signal: AbortSignal) => Promise<void>
}

/**
 * The relay: sources → lanes → sender. What is taken or heard is kept (by a claim in Redis, or in the journal) until SQS has
 * accepted it. See docs/relay.md for the way of a notification.
 */
export function createRelay(options: RelayOptions): Relay {
  const {
    config,
    log,
    now = Date.now,
    memoryBytes = 64 * MIB,
    journalBytes = 2_048 * MIB,
    shutdownMs = 10_000,
    requestTimeoutMs = 10_000,
    aliveMs = 60_000,
  } = options
  const metrics = createMetrics()
  beginAtZero(
    metrics,
    config.sources.map(({ id }) => id),
  )

  const run = (signal: AbortSignal): Promise<void> =>
    withReleasers(async (release) => {
      const journal = openJournal({
        dataDir: config.dataDir,
        relayId: config.relayId,
        sourceIds: config.sources.map(({ id }) => id),
        log,
        now,
      })
      release(() => journal.close())
      const journalId = readJournalId(journal)
      // Two relays may bear one id: each has a journal of its own.
      const own = ownIndex(`${config.relayId} ${journalId ?? randomUUID()}`)
      const sqs = createSqs(config, { requestTimeoutMs, log })
      release(() => sqs.destroy())
      const end = new AbortController()
      const roomListeners = new Set<() => void>()
      const onRoom = () => {
        for (const listener of roomListeners) listener()
      }

      const outages = createOutages(log)
      const uplink = createUplink({
        limitMs: requestTimeoutMs,
        onFull: (bytesPerSecond) =>
          log.warn(
            { code: 'relay.sqs.uplink_full', bytesPerSecond },
            'The uplink to SQS is full; the relay sends as much as it carries, and the backlog waits in Redis and the journal',
          ),
      })
      const senders = new Map<Route, Sender>(
        ROUTES.map((route) => [
          route,
          createSender({ route, sqs, queuePrefix: config.queuePrefix, log, metrics, now, onRoom, outages, uplink }),
        ]),
      )
      const servers = createServers(config.sources)
      const sources: Source[] = []
      const sourceOf = (sourceId: string): Source => (sources.find(({ id }) => id === sourceId) ?? sources[0]) as Source

      /** Says in the cloud what the relay has to say itself, by the journal as if it had been heard. Resolves when it is there. */
      const announce = (sourceId: string, notice: Notice, number: number): Promise<void> => {
        const { stamped, entry } = toHeard(sourceId, notice, number, own)
        intake.hear(stamped, entry)
        return intake.written()
      }
      const toHeard = (sourceId: string, notice: Notice, number: number, index: number): Heard => {
        const origin = { sourceId, number, index, timeMs: now() }
        const packet = formatNotice(notice)
        const stamped = stampNotice(packet, origin)
        return { stamped, entry: { ...origin, route: stamped.route.name, channel: noticeChannel(sourceId), packet } }
      }
      const gapOf = (sourceId: string, fromMs: number, toMs: number, cause: GapCause) => ({
        source: sourceId,
        relay: config.relayId,
        from: new Date(fromMs).toISOString(),
        to: new Date(toMs).toISOString(),
        cause,
        patterns: [...config.channels],
      })
      const givenUp = createGivenUp({
        log,
        metrics,
        signal: end.signal,
        onDue: () => intake.announceLost(),
      })
      const toGap = ({ sourceId, fromMs, toMs, cause, route, lost }: Lost): Heard => {
        metrics.gaps.inc({ source: sourceId, cause })
        const known = { ...(lost > 0 ? { lost } : {}), ...(route === '' ? {} : { route }) }
        const notice: Notice = {
          subType: 'gap',
          payload: { ...gapOf(sourceId, fromMs, toMs, cause), ...known },
        }
        return toHeard(sourceId, notice, sourceOf(sourceId).unaskedNumber(), unaskedIndex(own))
      }
      const intake = createJournalIntake({
        journal,
        senders,
        log,
        metrics,
        now,
        memoryBytes,
        journalBytes,
        givenUp,
        toGap,
        routeBytes: memoryBytes / 16,
        park: (sourceId, ...what) => sourceOf(sourceId).park(...what),
      })
      roomListeners.add(intake.refill)
      const listIntake = createListIntake({
        senders,
        metrics,
        memoryBytes,
        lists: config.sources.length * config.lists.length,
        roomListeners,
      })

      for (const source of config.sources) {
        sources.push(
          createSource({
            source,
            config,
            intake,
            log,
            metrics,
            now,
            room: (list, until) => listIntake.room(source.id, list, until),
            onClaim: (sourceId, claim) => listIntake.take(sourceId, claim),
            servers,
            isShort: (list) => listIntake.isShort(source.id, list),
            onHeld: (list, more) => listIntake.hold(source.id, list, more),
            announce: (notice, number) => announce(source.id, notice, number),
            onGap: ({ fromMs, toMs, cause, number }) => {
              const payload = gapOf(source.id, fromMs, toMs, cause)
              metrics.gaps.inc({ source: source.id, cause })
              metrics.gapSeconds.inc({ source: source.id }, Math.max(0, toMs - fromMs) / 1000)
              log.warn(
                { code: 'relay.pubsub.gap', source: source.id, from: payload.from, to: payload.to, cause },
                'The relay could not hear Pub/Sub for a time span (a gap)',
              )
              void announce(source.id, { subType: 'gap', payload }, number)
            },
            // Of a journal that lost its notes only the time of its file is known: a gap is announced all the same.
            heardUntilMs: journal.noted(source.id) ?? journal.lostMs,
            lastNumber: journal.noted(numberNote(source.id)),
            journalId,
            ownIndex: own,
            onHeard: (atMs) => intake.note(source.id, atMs),
            onNumber: (number) => intake.note(numberNote(source.id), number),
            endSignal: end.signal,
          }),
        )
      }

      const readiness = createReadiness({
        senders,
        sources,
        intake,
        metrics,
        log,
        now,
        channels: config.channels,
        askSqs: async (queueUrl) => {
          await sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['FifoQueue'] }))
        },
      })
      void readiness.run(signal)
      const alive = sayAlive(
        {
          relayId: config.relayId,
          sourceIds: sources.map(({ id }) => id),
          startedMs: now(),
          everyMs: aliveMs,
          log,
          now,
          isReady: async () => (await readiness.ask()).ok,
          nextNumber: () => (sources[0] as Source).nextNumber(),
          push: (item) => senders.get(item.route)?.push(item),
        },
        signal,
      )
      release(
        await serveHealth({
          http: config.http,
          metrics,
          senders,
          sources,
          intake,
          journal,
          readiness,
          now,
          onListening: (address) => {
            log.info({ code: 'relay.http.listening', address }, 'The relay serves /livez, /readyz and /metrics')
            options.onListening?.(address)
          },
        }),
      )
      log.info(
        {
          code: 'relay.process.started',
          relayId: config.relayId,
          sources: sources.map(({ id }) => id),
          lists: config.lists,
          channels: config.channels,
        },
        'The relay is running',
      )
      if (config.lists.length + config.channels.length === 0)
        log.warn(
          { code: 'relay.process.idle' },
          'ENIGMA_LISTS and ENIGMA_CHANNELS are both "none": the relay forwards nothing',
        )
      intake.adopt()
      // One after the other: what is wrong with all of them is said once.
      void (async () => {
        for (const sender of senders.values()) if (!signal.aborted) await sender.find()
      })()
      const stopped = Promise.withResolvers<number>()
      if (signal.aborted) stopped.resolve(performance.now())
      else signal.addEventListener('abort', () => stopped.resolve(performance.now()), { once: true })
      // A source whose Redis answers nothing is not waited for.
      await Promise.race([
        Promise.all([alive, ...sources.map((source) => source.run(signal))]),
        stopped.promise.then(() => sleep(shutdownMs / 2, end.signal)),
      ])

      log.info({ code: 'relay.process.stopping' }, 'The relay is stopping: it waits for requests in flight')
      const leftMs = Math.max(0, (await stopped.promise) + shutdownMs - performance.now())
      await Promise.all([...senders.values()].map((sender) => sender.stop(leftMs)))
      // What was parked or settled in the last turn is written before the rest is left.
      await sleep(0)
      end.abort()
      intake.close()
      await Promise.all(sources.map((source) => source.close()))
      log.info(
        { code: 'relay.process.stopped', left: [...senders.values()].reduce((sum, sender) => sum + sender.held, 0) },
        'The relay has stopped; unsent notifications stay in claims and the journal',
      )
    })

  return { metrics, run }
}

const MIB = 1024 * 1024

/** In the journal: the highest number of a source that was seen. Source ids have no `#`. */
const numberNote = (sourceId: string): string => `#number:${sourceId}`
