import { ROUTES, type Route } from '../protocol/index.ts'
import { sleep, withReleasers, type Logger } from '../runtime/index.ts'
import type { Claim } from './claims.ts'
import type { RelayConfig } from './config.ts'
import { serveHealth } from './health.ts'
import type { Keeper } from './item.ts'
import { openJournal } from './journal.ts'
import { createJournalIntake } from './journal-intake.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import type { Gap } from './pubsub-source.ts'
import { createOutages } from './outages.ts'
import { createSender, type Sender } from './sender.ts'
import { createSource, type Source } from './source.ts'
import { createSqs } from './sqs-client.ts'
import { stamp, toItem } from './stamp.ts'
import { waitUntil } from './wait-until.ts'

export type RelayOptions = {
  readonly config: RelayConfig
  readonly log: Logger
  /** Default: `Date.now`. */
  readonly now?: () => number
  /** Routes, lanes and limits. Default: the route table. */
  readonly routes?: readonly Route[]
  /** Bytes of notifications in memory beyond which nothing is taken from lists. Default 64 MiB. */
  readonly memoryBytes?: number
  /** How long (ms) SIGTERM waits for what is in flight. Default 10,000. */
  readonly shutdownMs?: number
  /** How long (ms) SQS may take to answer before a request is tried again; it knows the copy by its deduplication id. Default 10,000. */
  readonly requestTimeoutMs?: number
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

/** Notifications of lists in memory at once: so many are sent again at most after a crash. */
const MAX_LIST_ITEMS = 6_000

/**
 * The relay: sources → lanes → sender. What is taken or heard is kept (by a claim in Redis, or in the journal) until SQS has
 * accepted it. See docs/relay.md for the way of a notification.
 */
export function createRelay(options: RelayOptions): Relay {
  const { config, log, now = Date.now, routes = ROUTES, memoryBytes = 64 * 1024 * 1024, shutdownMs = 10_000, requestTimeoutMs = 10_000 } = options
  const metrics = createMetrics()

  const run = (signal: AbortSignal): Promise<void> =>
    withReleasers(async (release) => {
      const journal = openJournal(config.dataDir, config.relayId)
      release(() => journal.close())
      const sqs = createSqs(config, requestTimeoutMs)
      release(() => sqs.destroy())
      const end = new AbortController()
      const roomListeners = new Set<() => void>()
      const onRoom = () => {
        for (const listener of roomListeners) listener()
      }

      const outages = createOutages(log)
      const senders = new Map<Route, Sender>(
        routes.map((route) => [
          route,
          createSender({ route, sqs, queuePrefix: config.queuePrefix, log, metrics, now, onRoom, outages }),
        ]),
      )
      const sources: Source[] = []
      const intake = createJournalIntake({
        journal, senders, log, metrics, now, signal: end.signal,
        routeBytes: memoryBytes / 8,
        park: async (sourceId, entry) => {
          const source = sources.find(({ id }) => id === sourceId) ?? sources[0]
          await source?.park(entry)
        },
      })

      roomListeners.add(intake.refill)

      let listItems = 0
      const hasRoom = () => listItems < MAX_LIST_ITEMS && sumBytes(senders) < memoryBytes
      const room = (until: AbortSignal) => waitUntil(hasRoom, roomListeners, until)
      const onClaim = (sourceId: string, claim: Claim) => {
        const keeper: Keeper = {
          settle: (item) => {
            listItems--
            claim.keeper.settle(item)
          },
          park: async (item, reason, detail) => {
            await claim.keeper.park(item, reason, detail)
            listItems--
          },
        }
        claim.items.forEach((packet, index) => {
          if (packet === undefined) return
          const stamped = stamp(packet, {
            sourceId, transport: 'list', channel: claim.list, number: claim.number, index, timeMs: claim.takenMs, maxWaitMs: claim.maxWaitMs,
          })
          listItems++
          metrics.received.inc({ source: sourceId, transport: 'list', route: stamped.route.name })
          if (stamped.reason !== undefined) metrics.other.inc({ source: sourceId, reason: stamped.reason })
          senders.get(stamped.route)?.push(toItem(stamped, keeper, index))
        })
      }

      for (const source of config.sources) {
        sources.push(
          createSource({
            source, config, intake, log, metrics, now, room, onClaim, onClaimSettled: onRoom, onGap: (gap) => sayGap(gap, log, metrics),
            heardUntilMs: journal.lastHeard(source.id),
            onHeard: (sourceId, atMs) => {
              if (intake.brokenSince === undefined) journal.noteHeard(sourceId, atMs)
            },
            endSignal: end.signal,
          }),
        )
      }

      release(
        await serveHealth({
          http: config.http, metrics, senders, sources, intake, journal, now, channels: config.channels,
          onListening: (address) => {
            log.info({ address }, 'serving /livez, /readyz and /metrics')
            options.onListening?.(address)
          },
        }),
      )
      log.info({ relayId: config.relayId, sources: sources.map(({ id }) => id), lists: config.lists, channels: config.channels }, 'the relay runs')
      intake.adopt()
      // One after the other: what is wrong with all of them is said once.
      void (async () => {
        for (const sender of senders.values()) if (!signal.aborted) await sender.find()
      })()
      await Promise.all(sources.map((source) => source.run(signal)))

      log.info('stopping: settling what is in flight')
      await Promise.all([...senders.values()].map((sender) => sender.stop(shutdownMs)))
      // What was parked or settled in the last turn is written before the rest is left.
      await sleep(0)
      end.abort()
      intake.close()
      await Promise.all(sources.map((source) => source.close()))
      log.info({ left: [...senders.values()].reduce((sum, sender) => sum + sender.held, 0) }, 'stopped; what is left is kept in claims and journal')
    })

  return { metrics, run }
}

const sumBytes = (senders: ReadonlyMap<Route, Sender>): number => {
  let sum = 0
  for (const sender of senders.values()) sum += sender.bytes
  return sum
}

function sayGap({ sourceId, fromMs, toMs, cause }: Gap, log: Logger, metrics: Metrics): void {
  metrics.gaps.inc({ source: sourceId, cause })
  metrics.gapSeconds.inc({ source: sourceId }, Math.max(0, toMs - fromMs) / 1000)
  log.warn({ source: sourceId, from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString(), cause }, 'gap: PubSub was not heard')
}
