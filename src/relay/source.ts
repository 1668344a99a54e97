import { sleep, type Logger } from '../runtime/index.ts'
import { createClaims, type Claim, type Claims } from './claims.ts'
import type { RelayConfig, SourceConfig } from './config.ts'
import { describe } from './errors.ts'
import type { JournalIntake } from './journal-intake.ts'
import type { Keeper } from './item.ts'
import { createLeftBehind } from './left-behind.ts'
import { createLease } from './lease.ts'
import { runListSource, type ListState } from './list-source.ts'
import type { Metrics } from './metrics.ts'
import type { Notice } from './notice.ts'
import { createNumbers, makeNumber } from './numbers.ts'
import { createParking } from './parking.ts'
import { overflowFile } from './parked/overflow.ts'
import { runPubsubSource, type Gap } from './pubsub-source.ts'
import { connect, createRedis, keepHeard, type Redis } from './redis.ts'
import { looseSecrets } from './redis-address.ts'
import { createServerView } from './server-view.ts'
import { sayUnnamedLists } from './unnamed-lists.ts'
import { watchSource } from './watch-source.ts'

export type SourceOptions = {
  readonly source: SourceConfig
  readonly config: RelayConfig
  readonly intake: JournalIntake
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
  readonly room: (list: string, signal: AbortSignal) => Promise<void>
  /** Puts a claim's items in their lanes. */
  readonly onClaim: (sourceId: string, claim: Claim) => void
  readonly onClaimSettled: () => void
  /** Until when (ms) a former process heard it, and the highest number that it saw. */
  readonly heardUntilMs: number | undefined
  readonly lastNumber: number | undefined
  /** Of the journal that this process holds alone. */
  readonly journalName: number | undefined
  /** Where the index begins in what this relay numbers by itself. */
  readonly ownIndex: number
  readonly onGap: (gap: Gap) => void
  readonly onHeard: (atMs: number) => void
  readonly onNumber: (number: number) => void
  /** Says in the cloud what the relay has to say itself. */
  readonly announce: (notice: Notice, number: number) => Promise<void>
  /** Aborts when what is left is to be left: after the last pack was settled. */
  readonly endSignal: AbortSignal
}

/** How long (ms) noting what is left may take at the end. */
const LEAVE_MS = 3_000

/** One Redis server of a dialler: its lists, its PubSub, and what the relay keeps there. */
export function createSource(options: SourceOptions) {
  const { source, config, intake, log, metrics, now, room, onClaim, onClaimSettled, onGap, onHeard, endSignal } =
    options
  const failing = new Set<string>()
  const client = createRedis({ ...source, name: source.id, log, reconnect: true, failing })
  for (const file of looseSecrets(source))
    log.warn({ source: source.id, file }, 'everybody on this machine can read this secret: chmod 600')
  let connections = 0
  client.on('ready', () => {
    connections++
    void claims.flush()
  })
  const { relayId } = config
  const numbers = createNumbers({ now, last: options.lastNumber, onSeen: options.onNumber })
  const parking = createParking({
    sourceId: source.id,
    client,
    numbers,
    log,
    now,
    announce: options.announce,
    relayId,
    most: config.parkedMax,
    file: overflowFile(config.dataDir, source.id, relayId),
    metrics,
    signal: endSignal,
  })
  const serverView = createServerView({ client, sourceId: source.id, log, metrics })
  const lease = createLease({ client, relayId, log, now, journal: options.journalName })
  const claims: Claims = createClaims({
    client,
    relayId,
    listEnd: config.listEnd,
    now,
    numbers,
    parking,
    onSettled: onClaimSettled,
    onCount: (open) => metrics.claims.set({ source: source.id }, open),
  })
  const leftBehind = createLeftBehind({
    sourceId: source.id,
    client,
    relayId,
    claims,
    numbers,
    lists: config.lists,
    room,
    log,
    metrics,
    now,
    onClaim: (claim) => onClaim(source.id, claim),
  })
  const lists = config.lists.map((list): [string, ListState] => [
    list,
    { waitsFor: 'lease', progressMs: now(), items: 0 },
  ])
  const state = {
    answered: undefined as number | undefined,
    heard: undefined as number | undefined,
    leased: false,
    lists: new Map(lists),
  }
  let { heardUntilMs } = options

  const runList = async (list: string, listState: ListState, signal: AbortSignal): Promise<void> => {
    listState.progressMs = now()
    listState.failing = undefined
    const waiter: Redis = createRedis({ ...source, name: `${source.id} ${list}`, log, reconnect: true, failing })
    signal.addEventListener('abort', () => waiter.destroy(), { once: true })
    await connect(waiter, signal)
    // It blocks while it waits for items, and is answered every few seconds; else it is not used at all.
    void keepHeard(waiter, () => listState.waitsFor !== 'items', signal)
    await runListSource(
      {
        list,
        state: listState,
        claims,
        waiter,
        relayId,
        listEnd: config.listEnd,
        log,
        now,
        room: (until) => room(list, until),
        adopt: (until) => leftBehind.adopt(list, until),
        connections: () => connections,
        onClaim: (claim) => onClaim(source.id, claim),
      },
      signal,
    )
  }

  const runPubsub = async (signal: AbortSignal): Promise<void> => {
    if (config.channels.length === 0) return
    await runPubsubSource(
      {
        sourceId: source.id,
        ownIndex: options.ownIndex,
        address: source,
        patterns: config.channels,
        client,
        intake,
        log,
        metrics,
        now,
        numbers,
        serverView,
        onGap,
        failing,
        heardUntilMs,
        onHeard: (atMs, untilMs) => {
          state.heard = atMs
          heardUntilMs = untilMs
          onHeard(untilMs)
        },
      },
      signal,
    )
  }

  /** A Redis that came back empty has lost the claims; while this relay runs it has them in memory. */
  const writeBack = async (): Promise<void> => {
    if (!state.leased) return
    try {
      const written = await claims.writeBack()
      if (written > 0)
        log.warn(
          { code: 'relay.claims.restored', source: source.id, claims: written },
          'Redis had lost claims of this relay (it came back empty, or another relay adopted them); wrote them back from memory',
        )
    } catch (error) {
      log.debug(
        { code: 'relay.claims.restore_failed', source: source.id, error: describe(error) },
        'Could not write claims back to Redis yet; trying again',
      )
    }
  }

  /** While the relay id is held. */
  const runLeased = async (signal: AbortSignal): Promise<void> => {
    await Promise.all([
      ...[...state.lists].map(([list, listState]) => runList(list, listState, signal)),
      leftBehind.run(signal),
      runPubsub(signal),
      sayUnnamedLists(client, source.id, config.lists, log, signal),
    ])
  }

  const leave = async (): Promise<void> => {
    await claims.leave()
    await lease.release()
  }

  return {
    id: source.id,
    state,
    /** Runs until the signal aborts: then nothing more is taken or heard. */
    async run(signal: AbortSignal): Promise<void> {
      void connect(client, signal)
      const watching = watchSource(
        {
          sourceId: source.id,
          client,
          lists: state.lists,
          serverView,
          log,
          metrics,
          now,
          onAnswered: (atMs) => {
            state.answered = atMs
            void writeBack()
            void parking.measure()
          },
        },
        signal,
      )
      while (!signal.aborted) {
        if (!(await lease.acquire(signal))) break
        state.leased = true
        const until = new AbortController()
        const both = AbortSignal.any([signal, until.signal])
        const work = runLeased(both)
        const kept = await lease.keep(both)
        state.leased = false
        for (const listState of state.lists.values()) listState.waitsFor = 'lease'
        if (!kept)
          log.error(
            { code: 'relay.lease.lost', source: source.id, relayId },
            'Another relay took this ENIGMA_RELAY_ID while Redis was away; this one has stopped taking. Give each relay an id of its own',
          )
        until.abort()
        await work
      }
      await watching
    },
    /** Puts one aside that no claim keeps. Resolves with false when the relay ends first. */
    park: (...[item, reason, detail]: Parameters<Keeper['park']>): Promise<boolean> =>
      parking.park(item, reason, detail),
    /** A number that nothing else of this source has; undefined when the relay ends before Redis answers. */
    nextNumber: (): Promise<number | undefined> => makeNumber(client, numbers, endSignal),
    /** After the last pack was settled: notes what is left, gives the lease back, closes. */
    async close(): Promise<void> {
      const left = new AbortController()
      try {
        // A Redis that does not answer must not keep the process.
        if (client.isReady)
          await Promise.race([
            leave(),
            sleep(LEAVE_MS, left.signal).then(() => Promise.reject(new Error(`no answer within ${LEAVE_MS} ms`))),
          ])
      } catch (error) {
        log.warn(
          { code: 'relay.claims.not_noted', source: source.id, error: describe(error) },
          'Could not note in Redis which items SQS has; the next start sends some of them again, with the same ids',
        )
      } finally {
        left.abort()
      }
      client.destroy()
    },
  }
}

export type Source = ReturnType<typeof createSource>
