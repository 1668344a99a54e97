import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { randomUUID } from 'node:crypto'
import type { Route, Routes } from '../protocol/index.ts'
import { type Logger, sleep, withReleasers } from '../runtime/index.ts'
import type { RelayConfig } from './config.ts'
import { createReadiness, serveHealth } from './health/readiness.ts'
import { createStamp, type Item } from './item.ts'
import { createSourceNotes, readJournalId } from './journal/journal-writer.ts'
import { openJournal } from './journal/journal.ts'
import { createListIntake } from './lists/list-intake.ts'
import { beginAtZero, createMetrics, type Metrics } from './metrics.ts'
import { createAnnouncer, reportAlive } from './notice.ts'
import { createCommandPoller } from './parking/command-poller.ts'
import { createPubsubIntake } from './pubsub/pubsub-intake.ts'
import { ownIndex } from './redis/relay-keys.ts'
import { createServers } from './redis/source-identity.ts'
import { openReplays } from './replays/replay-poller.ts'
import { createOutages } from './sender/back-pressure.ts'
import { createSender, type Sender } from './sender/sender.ts'
import { createUplink } from './sender/uplink.ts'
import { createSource, type Source } from './source.ts'
import { openTargets } from './targets/target.ts'

export { readConfig, type RelayConfig, type SourceConfig } from './config.ts'
export { RelayError } from './relay-error.ts'

export type RelayOptions = {
  readonly config: RelayConfig
  /** The route table of the stack that the relay feeds: `config.routes`, or `createRoutes` of the package's `routes.json`. */
  readonly routes: Routes
  readonly log: Logger
  /** Default: `Date.now`. */
  readonly now?: () => number
  /** The bytes of notifications in memory above which the relay takes nothing from lists. Default 64 MiB. */
  readonly memoryBytes?: number
  /**
   * The bytes that the journal may use on disk. Above this limit, the relay discards the oldest notifications, starting with routes whose
   * notifications grow stale. Default 2 GiB.
   */
  readonly journalBytes?: number
  /** How long (ms) the relay waits for requests in flight when it stops. Default 10,000. */
  readonly shutdownMs?: number
  /** How long (ms) a target may take to answer before the request is retried, not counting the functions that an HTTP server runs. Default 10,000. */
  readonly requestTimeoutMs?: number
  /** How often (ms) the relay sends its liveness message while it is ready. Default 60,000. */
  readonly aliveMs?: number
  /** Called with the address once the relay serves `/livez`, `/readyz` and `/metrics`, and before it takes or hears anything. */
  readonly onListening?: (address: string) => void
}

export type Relay = {
  readonly metrics: Metrics
  /**
   * Runs until the signal aborts. It then takes nothing more, settles requests in flight until a deadline, leaves the rest in claims and the journal,
   * and resolves. @throws RelayError when the journal or the HTTP address cannot be used
   */
  run: (signal: AbortSignal) => Promise<void>
}

/**
 * Wires the relay: sources → intakes → lanes → senders. A claim in Redis, or the journal, keeps every notification until its target has accepted it.
 * docs/architecture.md follows a notification through the files.
 */
export function createRelay(options: RelayOptions): Relay {
  const {
    config,
    routes,
    log,
    now = Date.now,
    memoryBytes = 64 * MIB,
    journalBytes = 2_048 * MIB,
    shutdownMs = 10_000,
    requestTimeoutMs = 10_000,
    aliveMs = 60_000,
    onListening,
  } = options
  const { relayId, lists, channels } = config
  const sourceIds = config.sources.map(({ id }) => id)
  const metrics = createMetrics()
  beginAtZero(metrics, sourceIds, routes)
  const tools = { log, metrics, now, stamp: createStamp(routes) }

  const run = (signal: AbortSignal): Promise<void> =>
    withReleasers(async (release) => {
      const journal = openJournal({ dataDir: config.dataDir, relayId, sourceIds, log, now })
      release(() => journal.close())
      const journalId = readJournalId(journal)
      // Two relays may have the same relay id, but each has its own journal.
      const own = ownIndex(`${relayId} ${journalId ?? randomUUID()}`)
      const targets = openTargets(config, routes, { requestTimeoutMs, log })
      release(() => targets.destroy())
      const { sqs } = targets
      const end = new AbortController()
      const roomListeners: (() => void)[] = []
      const onRoom = () => {
        pubsub.refill()
        for (const listener of roomListeners) listener()
      }
      const outages = createOutages(log)
      const uplink = createUplink({ limitMs: requestTimeoutMs, log })
      const shared = { ...tools, onRoom, outages, uplink }
      const toSender = (route: Route): Sender =>
        createSender({
          ...shared,
          route: config.linger ? route : { ...route, lingerMs: 0 },
          target: targets.targetOf(route, shared),
        })
      const senders = new Map<Route, Sender>(routes.all.map((route) => [route, toSender(route)]))
      const sources: Source[] = []
      const sourceOf = (sourceId: string): Source => (sources.find(({ id }) => id === sourceId) ?? sources[0]) as Source

      const pubsub = createPubsubIntake({
        ...tools,
        journal,
        senders,
        memoryBytes,
        journalBytes,
        routeBytes: memoryBytes / 32,
        toGap: (lost) => announcer.toGap(lost, sourceOf(lost.sourceId).offlineNumber()),
        onGap: (sourceId) => sourceOf(sourceId).resync(now()),
        park: (sourceId, ...what) => sourceOf(sourceId).park(...what),
      })
      const announcer = createAnnouncer({ ...tools, relayId, patterns: channels, ownIndex: own, intake: pubsub })
      const push = (item: Item): void => senders.get(item.route)?.push(item)
      const servers = createServers(config.sources)
      const ofAll = {
        ...tools,
        config,
        pubsub,
        push,
        announcer,
        journalId,
        ownIndex: own,
        servers,
        endSignal: end.signal,
      }
      const listBytes = memoryBytes / Math.max(1, sourceIds.length * lists.length)
      for (const source of config.sources) {
        const intake = createListIntake({ ...tools, sourceId: source.id, senders, listBytes })
        roomListeners.push(intake.onRoom)
        const notes = createSourceNotes(source.id, journal, pubsub)
        sources.push(createSource({ ...ofAll, source, lists: intake, notes }))
      }

      const readiness = createReadiness({
        ...tools,
        senders,
        sources,
        intake: pubsub,
        channels,
        askSqs:
          sqs === undefined
            ? undefined
            : (url) => sqs.send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['FifoQueue'] })),
      })
      void readiness.run(signal)
      const alive = reportAlive(
        {
          ...tools,
          relayId,
          sourceIds,
          lists,
          startedMs: now(),
          everyMs: aliveMs,
          isReady: async () => (await readiness.ask()).ok,
          nextNumber: () => (sources[0] as Source).nextNumber(),
          push,
        },
        signal,
      )
      release(await serveHealth({ ...tools, http: config.http, senders, journal, readiness, onListening }))
      log.info({ code: 'relay.process.started', relayId, sources: sourceIds, lists, channels }, 'The relay is running')
      if (lists.length + channels.length === 0)
        log.warn(
          { code: 'relay.process.idle' },
          'ENIGMA_LISTS and ENIGMA_CHANNELS are both "none": the relay forwards nothing',
        )
      pubsub.adopt()
      // One after the other, so that a problem of all targets is logged once.
      void (async () => {
        for (const sender of senders.values()) if (!signal.aborted) await sender.find()
      })()
      const { queuePrefix, dataDir } = config
      const findSource = (sourceId: string) =>
        sources.some(({ id, state }) => id === sourceId && state.refused === undefined)
          ? config.sources.find(({ id }) => id === sourceId)
          : undefined
      const commands =
        config.commands && sqs !== undefined
          ? createCommandPoller({ sqs, targets, queuePrefix, routes, dataDir, findSource, log }).run(signal)
          : Promise.resolve()
      const replays = openReplays({ config, routes, http: targets.http, log }, release).run(signal)
      const stopped = Promise.withResolvers<number>()
      if (signal.aborted) stopped.resolve(performance.now())
      else signal.addEventListener('abort', () => stopped.resolve(performance.now()), { once: true })
      // The wait for a source whose Redis does not answer ends after half of `shutdownMs`.
      await Promise.race([
        Promise.all([alive, commands, replays, ...sources.map((source) => source.run(signal))]),
        stopped.promise.then(() => sleep(shutdownMs / 2, end.signal)),
      ])

      log.info({ code: 'relay.process.stopping' }, 'The relay is stopping: it waits for requests in flight')
      const leftMs = Math.max(0, (await stopped.promise) + shutdownMs - performance.now())
      await Promise.all([...senders.values()].map((sender) => sender.stop(leftMs)))
      // Notifications that were parked or settled in the last turn of the event loop are still written.
      await sleep(0)
      end.abort()
      pubsub.close()
      await Promise.all(sources.map((source) => source.close()))
      log.info(
        { code: 'relay.process.stopped', left: [...senders.values()].reduce((sum, sender) => sum + sender.held, 0) },
        'The relay has stopped; unsent notifications stay in claims and the journal',
      )
    })

  return { metrics, run }
}

const MIB = 1024 * 1024
