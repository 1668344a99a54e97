import { BASE_KEY } from '../../protocol/index.ts'
import { sleep, sleepToBeat, type Logger } from '../../runtime/index.ts'
import type { RelayConfig, SourceConfig } from '../config.ts'
import { describe } from '../errors.ts'
import type { Metrics } from '../metrics.ts'
import type { Parking } from '../parking/parking.ts'
import { isAnswer, judgeRedis, type RedisFault } from '../redis/advice.ts'
import { connect, createRedis, type Failing, type Redis } from '../redis/client.ts'
import { createLease } from '../redis/lease.ts'
import type { Numbers } from '../redis/numbers.ts'
import { createClaims } from './claims.ts'
import { createLeftovers, type Leftovers, type LookFailure } from './leftovers.ts'
import type { ListIntake } from './list-intake.ts'
import { runListSource, type ListState } from './list-source.ts'

export type SourceListsOptions = {
  readonly source: SourceConfig
  readonly config: RelayConfig
  readonly client: Redis
  readonly failing: Failing
  /** Counts the connections of the client. */
  readonly connections: () => number
  readonly intake: ListIntake
  readonly numbers: Numbers
  readonly parking: Parking
  /** The id of the journal that this process holds alone. */
  readonly journalId: number | undefined
  /** Resolves when the relay may write to this Redis: it is the right one, and grants every right. @throws what keeps it from writing */
  readonly mayWrite: () => Promise<void>
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
}

/** What readiness reads. */
export type SourceListsState = {
  /** Whether this process holds the relay id, and why Redis refuses it. */
  leased: boolean
  unleased: RedisFault | undefined
  /** Why leftover claims cannot be looked for. */
  lookFailure: LookFailure | undefined
  readonly lists: ReadonlyMap<string, ListState>
}

/** The keys that diallers are known to use as lists. */
export const KNOWN_LISTS = ['', ':campaigns', ':campaign', ':cdr', ':inbound', ':agents', ':agent', ':dialers'].map(
  (end) => BASE_KEY + end,
)

/** How often (ms) an unused connection is pinged: silence would count as its death. */
const PING_MS = 4_000

/** The lists of one source: consumes them, and the leftovers in claims, while this process holds the relay id. */
export function createSourceLists(options: SourceListsOptions) {
  const { source, config, client, failing, connections, intake, numbers, mayWrite, log, metrics, now } = options
  const { relayId, listEnd } = config
  const state: SourceListsState = {
    leased: false,
    unleased: undefined,
    lookFailure: undefined,
    lists: new Map(config.lists.map((list) => [list, { waitsFor: 'lease', progressMs: now(), items: 0 }])),
  }
  const lease = createLease({
    client,
    relayId,
    log,
    now,
    journalId: options.journalId,
    onRefused: (error) => (state.unleased = isAnswer(error) ? judgeRedis(error) : undefined),
  })
  const claims = createClaims({
    client,
    relayId,
    holder: lease.holder,
    listEnd,
    now,
    numbers,
    parking: options.parking,
    intake,
    onCount: (open) => metrics.claims.set({ source: source.id }, open),
  })
  client.on('ready', () => void claims.flush())

  const runList = async (
    list: string,
    listState: ListState,
    leftovers: Leftovers,
    signal: AbortSignal,
  ): Promise<void> => {
    listState.progressMs = now()
    listState.failing = undefined
    const waiter = createRedis({ ...source, name: `${source.id} ${list}`, log, reconnect: true, failing })
    signal.addEventListener('abort', () => waiter.destroy(), { once: true })
    await connect(waiter, signal)
    const run = { list, state: listState, claims, leftovers, intake, waiter, relayId, listEnd, mayWrite, connections }
    await Promise.all([runListSource({ ...run, log, now }, signal), keepHeard(waiter, listState, signal)])
  }

  /** While the list waits for items, the connection gets a reply every few seconds; otherwise it is not used at all. */
  const keepHeard = async (waiter: Redis, listState: ListState, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await sleepToBeat(PING_MS, signal)
      // A failure ends the connection, and its listener logs that.
      if (waiter.isReady && listState.waitsFor !== 'items') waiter.ping().catch(() => undefined)
    }
  }

  const adoptLeftovers = async (leftovers: Leftovers, signal: AbortSignal): Promise<void> => {
    // Each list logs what is missing.
    const isAllowed = () =>
      mayWrite().then(
        () => true,
        () => false,
      )
    while (!signal.aborted && !(await isAllowed())) await sleep(1_000, signal)
    await leftovers.run()
  }

  /** Logs once each list that exists and is not named in ENIGMA_LISTS, with its length. */
  const logUnnamedLists = async (signal: AbortSignal): Promise<void> => {
    const unlogged = new Set(KNOWN_LISTS.filter((list) => !config.lists.includes(list)))
    while (!signal.aborted && unlogged.size > 0) {
      try {
        for (const list of unlogged) {
          if ((await client.type(list)) !== 'list') continue
          unlogged.delete(list)
          log.warn(
            { code: 'relay.list.unnamed', source: source.id, list, items: await client.lLen(list) },
            'This list exists in Redis, but ENIGMA_LISTS does not name it, so the relay does not consume it; add it to ENIGMA_LISTS if this relay should consume it',
          )
        }
      } catch {
        // Redis is away, which is logged elsewhere.
      }
      await sleep(60_000, signal)
    }
  }

  const runLeased = async (signal: AbortSignal): Promise<void> => {
    const { lists } = config
    const found = { sourceId: source.id, client, relayId, claims, numbers, lists, intake, state, lease }
    const leftovers = createLeftovers({ ...found, log, metrics, now }, signal)
    await Promise.all([
      ...[...state.lists].map(([list, listState]) => runList(list, listState, leftovers, signal)),
      adoptLeftovers(leftovers, signal),
      claims.run(signal),
      logUnnamedLists(signal),
    ])
  }

  return {
    state,
    /** Waits for the relay id, and runs the lists while this process holds it, until the signal aborts. */
    async run(signal: AbortSignal): Promise<void> {
      while (await lease.acquire(signal)) {
        state.leased = true
        state.unleased = undefined
        const lost = new AbortController()
        const either = AbortSignal.any([signal, lost.signal])
        const work = runLeased(either)
        const kept = await lease.keep(either)
        state.leased = false
        for (const listState of state.lists.values()) listState.waitsFor = 'lease'
        if (!kept)
          log.error(
            { code: 'relay.lease.lost', source: source.id, relayId },
            'Another relay took this ENIGMA_RELAY_ID while Redis was unreachable; this relay has stopped taking items. Give each relay its own ENIGMA_RELAY_ID',
          )
        lost.abort()
        await work
      }
    },
    /** Deletes settled claims that Redis did not delete while it refused writes: perhaps nothing else is settled that would trigger it. */
    flush: claims.flush,
    /** Writes back claims that Redis has lost, as when it came back empty. A running relay has them in memory. */
    async writeBack(): Promise<void> {
      if (!state.leased) return
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
    },
    /** At the end: removes what was sent from unfinished claims, and releases the lease. @throws what Redis answers */
    async leave(): Promise<void> {
      await claims.leave()
      await lease.release()
    },
  }
}

export type SourceLists = ReturnType<typeof createSourceLists>
