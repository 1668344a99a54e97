import { within, type Logger } from '../runtime/index.ts'
import type { RelayConfig, SourceConfig } from './config.ts'
import { describe, RelayError } from './relay-error.ts'
import { watchSource, createOutputBuffer } from './health/watch-source.ts'
import type { Acknowledger, Item, Stamp } from './item.ts'
import type { SourceNotes } from './journal/journal-writer.ts'
import type { ListIntake } from './lists/list-intake.ts'
import { createSourceLists } from './lists/source-lists.ts'
import type { Metrics } from './metrics.ts'
import type { Announcer } from './notice.ts'
import { overflowFile } from './parking/overflow.ts'
import { createParking } from './parking/parking.ts'
import type { PubsubIntake } from './pubsub/pubsub-intake.ts'
import { runPubsubSource, type PubsubState } from './pubsub/pubsub-source.ts'
import { createResync, type Resync } from './pubsub/resync.ts'
import { looseSecrets } from './redis/address.ts'
import { reasonOf, type RedisFault } from './redis/advice.ts'
import { connect, createFailureRecord, createRedis, type Failing, type Redis } from './redis/redis-client.ts'
import { createNumbers, type Numbers } from './redis/relay-keys.ts'
import { createRightsGate } from './redis/rights.ts'
import { createIdentity, type Servers } from './redis/source-identity.ts'

/** The tools that all parts of one source share. */
export type SourceTools = {
  readonly sourceId: string
  /** The connection for commands. */
  readonly client: Redis
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
}

export type SourceOptions = Pick<SourceTools, 'log' | 'metrics' | 'now'> & {
  readonly source: SourceConfig
  readonly config: RelayConfig
  /** Receives the items of the source's lists, and limits how many may be taken. */
  readonly lists: ListIntake
  /** Receives the Pub/Sub notifications of the source. */
  readonly pubsub: Pick<PubsubIntake, 'hear'>
  /** Puts a notification in a lane of its route. */
  readonly push: (item: Item) => void
  /** Sends the relay's own notices: gaps and parked notifications. */
  readonly announcer: Announcer
  /** The numbers that the journal keeps for the source. */
  readonly notes: SourceNotes
  /** The id of the journal that this process holds alone. */
  readonly journalId: number | undefined
  /** The first index of notifications that this relay numbers itself. */
  readonly ownIndex: number
  /** The servers of all sources of this relay. */
  readonly servers: Servers
  /** Aborts at the end, after the last pack was settled. */
  readonly endSignal: AbortSignal
  readonly stamp: Stamp
}

/** The context that the lists and the Pub/Sub of a source share besides the tools. */
export type SourceContext = SourceTools &
  Pick<SourceOptions, 'source' | 'config'> & {
    /** The connections to this server that currently fail. */
    readonly failing: Failing
    readonly numbers: Numbers
  }

/** How long (ms) the relay may take, when it stops, to record in Redis which items were accepted. */
const MAX_FINISH_MS = 3_000

/** Creates a source: one Redis server of a dialler, with its lists, its Pub/Sub, and the relay's own keys there. */
export function createSource(options: SourceOptions) {
  const { source, config, announcer, notes, servers, endSignal, log, metrics, now } = options
  const { id: sourceId } = source
  for (const file of looseSecrets(source))
    log.warn(
      { code: 'relay.source.secret_readable', source: sourceId, file },
      'Every user of this host can read this secret file; run chmod 600 on it',
    )
  const failing = createFailureRecord()
  const client = createRedis({ ...source, name: sourceId, log, reconnect: true, failing })
  let connectionCount = 0
  client.on('ready', () => connectionCount++)
  const connections = () => connectionCount

  const tools = { sourceId, client, log, metrics, now }
  const numbers = createNumbers({ client, now, last: notes.formerNumber, onHighest: notes.saw })
  const rights = createRightsGate(client, config, source)
  const identity = createIdentity({ ...tools, source, servers, connections, nameRights: rights.pass })
  const outputBuffer = createOutputBuffer(tools)
  const parking = createParking({
    ...tools,
    numbers,
    announce: (notice, number) => announcer.announce(sourceId, notice, number),
    relayId: config.relayId,
    most: config.parkedMax,
    file: overflowFile(config.dataDir, sourceId, config.relayId),
    signal: endSignal,
  })
  const mayWrite = async () => {
    await identity.verify()
    await rights.pass()
  }
  const { lists: intake, journalId } = options
  const context: SourceContext = { ...tools, source, config, failing, numbers }
  const lists = createSourceLists({ ...context, connections, intake, parking, journalId, mayWrite })
  const pubsub: PubsubState = { heardMs: undefined, heardUntilMs: notes.formerlyHeardMs, fault: undefined }
  const state = {
    /** When (ms) Redis last answered, and the error if it answered with one. */
    answered: undefined as number | undefined,
    refusal: undefined as RedisFault | undefined,
    /** Why there is no connection now. */
    get connection(): RedisFault | undefined {
      return failing.fault
    },
    /** Why this source does not run. */
    get refused(): string | undefined {
      const { refusal, fault } = identity
      if (refusal !== undefined) return `${refusal.text}: ${refusal.fix}`
      return fault === undefined ? undefined : reasonOf(fault)
    },
    pubsub,
    lists: lists.state,
  }

  let resync: Resync | undefined
  const runPubsub = async (signal: AbortSignal): Promise<void> => {
    if (config.channels.length === 0) return
    resync = createResync({ ...options, ...context, parking }, signal)
    const run = { ...options, ...context, intake: options.pubsub, state: pubsub, identity, outputBuffer, resync }
    await runPubsubSource(run, signal)
  }
  const watch = {
    ...tools,
    identity,
    lists: lists.state.lists,
    outputBuffer,
    onAnswered(atMs: number, refusal: RedisFault | undefined) {
      state.answered = atMs
      state.refusal = refusal
      void parking.measure()
    },
    onWell() {
      void lists.flush()
      if (identity.isVerified()) void lists.writeBack()
    },
  }

  return {
    id: sourceId,
    state,
    /** Takes items and hears notifications until the signal aborts. */
    async run(signal: AbortSignal): Promise<void> {
      void connect(client, signal)
      const watching = watchSource(watch, signal)
      // Hearing Pub/Sub takes nothing from other relays, so Pub/Sub never waits for the relay id.
      await identity.whileAdmitted((admitted) => Promise.all([runPubsub(admitted), lists.run(admitted)]), signal)
      await watching
    },
    /** Parks a notification that no claim keeps. Resolves with false when the relay ends first. */
    park: (...what: Parameters<Acknowledger['park']>): Promise<boolean> => parking.park(...what),
    /** Reads the dialler's present states after notifications were lost. @param atMs when the loss became known */
    resync: (atMs: number): void => resync?.begin(atMs),
    /** Returns a number that nothing else of this source has. @throws what Redis answers */
    nextNumber: numbers.next,
    /** Returns a number without asking Redis, above every number of this source that the relay has seen. */
    offlineNumber: (): number => {
      const number = numbers.lowerBound()
      numbers.noteUsed(number)
      return number
    },
    /** Closes the source after the last pack was settled: records in Redis which items were accepted, releases the lease, and disconnects. */
    async close(): Promise<void> {
      try {
        // A Redis that does not answer must not keep the process alive.
        const late = () => new RelayError('relay.redis.no_answer', `no answer within ${MAX_FINISH_MS} ms`)
        if (client.isReady) await within(MAX_FINISH_MS, lists.finish(), late)
      } catch (error) {
        log.warn(
          { code: 'relay.claims.not_noted', source: sourceId, error: describe(error) },
          'The relay could not record in Redis which items were accepted; the next start sends some of them again, with the same ids',
        )
      }
      client.destroy()
    },
  }
}

export type Source = ReturnType<typeof createSource>
