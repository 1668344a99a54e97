import { sleep, type Logger } from '../runtime/index.ts'
import { createClaims, type Claim, type Claims } from './lists/claims.ts'
import type { RelayConfig, SourceConfig } from './config.ts'
import { describe, RelayError } from './errors.ts'
import type { JournalIntake } from './pubsub/pubsub-intake.ts'
import type { Keeper } from './item.ts'
import type { Room } from './lists/list-intake.ts'
import { createLeftovers, type Leftovers, type LookFailure } from './lists/leftovers.ts'
import { createLease } from './redis/lease.ts'
import { runListSource, type ListState } from './lists/list-source.ts'
import type { Metrics } from './metrics.ts'
import type { Notice } from './notification/notice.ts'
import { createNumbers } from './redis/numbers.ts'
import { createParking } from './parking/parking.ts'
import { overflowFile } from './parking/overflow.ts'
import { runPubsubSource, type Gap } from './pubsub/pubsub-source.ts'
import { connect, createFailing, createRedis, keepHeard, type Redis } from './redis/client.ts'
import { isAnswer, judgeRedis, reasonOf, type RedisFault } from './redis/advice.ts'
import { looseSecrets } from './redis/address.ts'
import { createRightsGate } from './redis/rights.ts'
import { createServerView } from './redis/output-buffer.ts'
import { createIdentity, type Servers } from './redis/source-identity.ts'
import { sayUnnamedLists } from './lists/unnamed-lists.ts'
import { watchSource } from './health/watch-source.ts'

export type SourceOptions = {
  readonly source: SourceConfig
  readonly config: RelayConfig
  readonly intake: JournalIntake
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
  /** Resolves when there is room for more of a list. */
  readonly room: (list: string, signal: AbortSignal) => Promise<Room>
  /** Whether there is little room for more of a list. */
  readonly isShort: (list: string) => boolean
  /** Redis holds so many items more (or less) of a list in claims. */
  readonly onHeld: (list: string, more: number) => void
  /** Puts a claim's items in their lanes. */
  readonly onClaim: (sourceId: string, claim: Claim) => void
  /** The servers of all sources of this relay. */
  readonly servers: Servers
  /** Until when (ms) a former process heard it, and the highest number that it saw. */
  readonly heardUntilMs: number | undefined
  readonly lastNumber: number | undefined
  /** The id of the journal that this process holds alone. */
  readonly journalId: number | undefined
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
  const { source, config, intake, log, metrics, now, room, onClaim, onGap, onHeard, endSignal } = options
  const failing = createFailing()
  const client = createRedis({ ...source, name: source.id, log, reconnect: true, failing })
  for (const file of looseSecrets(source))
    log.warn(
      { code: 'relay.source.secret_readable', source: source.id, file },
      'Every user of this host can read this secret file; run chmod 600 on it',
    )
  let connections = 0
  client.on('ready', () => {
    connections++
    void claims.flush()
  })
  const { relayId } = config
  const numbers = createNumbers({ client, now, last: options.lastNumber, onSeen: options.onNumber })
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
  const rights = createRightsGate(client, config, source)
  const identity = createIdentity({
    client,
    source,
    servers: options.servers,
    connections: () => connections,
    nameRights: rights.pass,
    log,
    now,
  })
  const serverView = createServerView({ client, sourceId: source.id, log, metrics })
  const lease = createLease({
    client,
    relayId,
    log,
    now,
    journalId: options.journalId,
    onRefused: (error) => (state.unleased = isAnswer(error) ? judgeRedis(error) : undefined),
  })
  const claims: Claims = createClaims({
    client,
    relayId,
    holder: lease.holder,
    listEnd: config.listEnd,
    now,
    numbers,
    parking,
    onHeld: options.onHeld,
    isShort: options.isShort,
    onCount: (open) => metrics.claims.set({ source: source.id }, open),
  })
  const lists = config.lists.map((list): [string, ListState] => [
    list,
    { waitsFor: 'lease', progressMs: now(), items: 0 },
  ])
  const state = {
    /** When (ms) Redis last answered, be it with an error, and that error. */
    answered: undefined as number | undefined,
    refusal: undefined as RedisFault | undefined,
    /** Why connections cannot be had now. */
    get connection(): RedisFault | undefined {
      return failing.fault
    },
    /** Why this source does not run at all. */
    get refused(): string | undefined {
      const { refusal, fault } = identity
      if (refusal !== undefined) return `${refusal.text}: ${refusal.fix}`
      return fault === undefined ? undefined : reasonOf(fault)
    },
    heard: undefined as number | undefined,
    /** Why PubSub cannot be heard now, and why the relay id cannot be had. */
    unheard: undefined as RedisFault | undefined,
    unleased: undefined as RedisFault | undefined,
    leased: false,
    lists: new Map(lists),
    /** Leftover claims cannot be looked for. */
    claims: undefined as LookFailure | undefined,
  }
  let { heardUntilMs } = options

  const runList = async (
    list: string,
    listState: ListState,
    leftovers: Leftovers,
    signal: AbortSignal,
  ): Promise<void> => {
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
        // On each new connection, and after each failure: before anything is written.
        prepare: async () => {
          await identity.verify()
          await rights.pass()
        },
        adopt: () => leftovers.adopt(list),
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
        verify: identity.verify,
        onFailed: (error) => {
          if (isAnswer(error)) state.unheard = judgeRedis(error)
        },
        onHeard: (atMs, untilMs) => {
          state.heard = atMs
          state.unheard = undefined
          heardUntilMs = untilMs
          onHeard(untilMs)
        },
      },
      signal,
    )
  }

  /**
   * What Redis did not take while it refused writes is deleted now: nothing else may be settled that would ask for it. One that came back
   * empty has lost the claims; while this relay runs it has them in memory.
   */
  const catchUp = async (): Promise<void> => {
    void claims.flush()
    if (!state.leased || !identity.isVerified()) return
    try {
      const written = await claims.writeBack()
      if (written > 0)
        log.warn(
          { code: 'relay.claims.restored', source: source.id, claims: written },
          'Redis had lost claims of this relay (it came back empty, or another relay adopted them); the relay wrote them back from memory',
        )
    } catch (error) {
      log.debug(
        { code: 'relay.claims.restore_failed', source: source.id, error: describe(error) },
        'The relay could not write claims back to Redis; it retries',
      )
    }
  }

  /** What others left is taken up once this user may do all that it takes. */
  const adoptLeftovers = async (leftovers: Leftovers, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      try {
        await rights.pass()
        return await leftovers.run()
      } catch {
        // Said for each list.
        await sleep(1_000, signal)
      }
    }
  }

  /** While the relay id is held. */
  const runLeased = async (signal: AbortSignal): Promise<void> => {
    const leftovers = createLeftovers(
      {
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
        lease,
        onClaim: (claim) => onClaim(source.id, claim),
        onLook: (failure) => (state.claims = failure),
      },
      signal,
    )
    await Promise.all([
      ...[...state.lists].map(([list, listState]) => runList(list, listState, leftovers, signal)),
      adoptLeftovers(leftovers, signal),
      claims.run(signal),
      sayUnnamedLists(client, source.id, config.lists, log, signal),
    ])
  }

  const keepLease = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      if (!(await lease.acquire(signal))) break
      state.leased = true
      state.unleased = undefined
      const until = new AbortController()
      const both = AbortSignal.any([signal, until.signal])
      const work = runLeased(both)
      const kept = await lease.keep(both)
      state.leased = false
      for (const listState of state.lists.values()) listState.waitsFor = 'lease'
      if (!kept)
        log.error(
          { code: 'relay.lease.lost', source: source.id, relayId },
          'Another relay took this ENIGMA_RELAY_ID while Redis was unreachable; this relay has stopped taking items. Give each relay its own ENIGMA_RELAY_ID',
        )
      until.abort()
      await work
    }
  }

  /** While the server is known to be the right one. Listening takes nothing from anybody: it needs no lease, and never waits for one. */
  const runAdmitted = async (signal: AbortSignal): Promise<void> => {
    await Promise.all([runPubsub(signal), keepLease(signal)])
  }

  const unseen = (error: unknown) =>
    log.debug(
      { code: 'relay.source.not_verified', source: source.id, error: describe(error) },
      'The relay could not verify the source id in Redis; it retries',
    )

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
          onAnswered: (atMs, refusal) => {
            state.answered = atMs
            void parking.measure()
            state.refusal = refusal
            if (refusal === undefined) void identity.look().then(catchUp, unseen)
          },
        },
        signal,
      )
      while (await identity.admitted(signal)) {
        const refused = new AbortController()
        const work = runAdmitted(AbortSignal.any([signal, refused.signal]))
        await Promise.race([identity.refused(), work])
        refused.abort()
        await work
      }
      await watching
    },
    /** Puts one aside that no claim keeps. Resolves with false when the relay ends first. */
    park: (...[item, reason, detail]: Parameters<Keeper['park']>): Promise<boolean> =>
      parking.park(item, reason, detail),
    /** A number that nothing else of this source has. @throws what Redis answers */
    nextNumber: numbers.next,
    /** A number of this relay's own, above all that it has seen of this source. */
    unaskedNumber: (): number => {
      const number = numbers.least()
      numbers.seen(number)
      return number
    },
    /** After the last pack was settled: notes what is left, gives the lease back, closes. */
    async close(): Promise<void> {
      const left = new AbortController()
      try {
        // A Redis that does not answer must not keep the process.
        if (client.isReady)
          await Promise.race([
            leave(),
            sleep(LEAVE_MS, left.signal).then(() =>
              Promise.reject(new RelayError('relay.redis.no_answer', `no answer within ${LEAVE_MS} ms`)),
            ),
          ])
      } catch (error) {
        log.warn(
          { code: 'relay.claims.not_noted', source: source.id, error: describe(error) },
          'The relay could not record in Redis which items SQS has accepted; the next start sends some of them again, with the same ids',
        )
      } finally {
        left.abort()
      }
      client.destroy()
    },
  }
}

export type Source = ReturnType<typeof createSource>
