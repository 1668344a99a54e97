import { BASE_KEY } from '../../protocol/index.ts'
import { sleep, sleepToBeat } from '../../runtime/index.ts'
import { describe } from '../relay-error.ts'
import type { Parking } from '../parking/parking.ts'
import { isAnswer, judgeRedis, type RedisFault } from '../redis/advice.ts'
import { connect, createRedis, type Redis } from '../redis/redis-client.ts'
import { createLease } from '../redis/lease.ts'
import type { SourceContext, SourceOptions } from '../source.ts'
import { createClaimAdoption, type ClaimAdoption, type SearchFailure } from './adoption.ts'
import { createClaims } from './claims.ts'
import { runListSource, type ListIntake, type ListState } from './list-intake.ts'

export type SourceListsOptions = SourceContext &
  Pick<SourceOptions, 'journalId'> & {
    /** Counts the connections of the client: when it has changed, a reply may have been lost. */
    readonly connections: () => number
    readonly intake: ListIntake
    readonly parking: Parking
    /** Resolves when the relay may write to this Redis: it is the right server, and grants every right. @throws why the relay may not write */
    readonly mayWrite: () => Promise<void>
  }

/** The keys that diallers are known to use as lists. */
export const KNOWN_LISTS = ['', ':campaigns', ':campaign', ':cdr', ':inbound', ':agents', ':agent', ':dialers'].map(
  (end) => BASE_KEY + end,
)

/** How often (ms) an unused connection is pinged: a silent connection would count as lost. */
const PING_MS = 4_000

/** Creates the lists of one source: consumes them, and adopts the claims that earlier processes left, while this process holds the relay id. */
export function createSourceLists(options: SourceListsOptions) {
  const { source, sourceId, config, client, failing, mayWrite, log, metrics, now } = options
  const { relayId } = config
  /** The state that readiness reads. */
  const state = {
    /** Whether this process holds the relay id, and why Redis refuses it. */
    leased: false,
    unleased: undefined as RedisFault | undefined,
    searchFailure: undefined as SearchFailure | undefined,
    lists: new Map(
      config.lists.map((list): [string, ListState] => [list, { waitsFor: 'lease', progressMs: now(), items: 0 }]),
    ),
  }
  const onRefused = (error: unknown) => (state.unleased = isAnswer(error) ? judgeRedis(error) : undefined)
  const lease = createLease({ client, relayId, log, now, journalId: options.journalId, onRefused })
  const onCount = (open: number) => metrics.claims.set({ source: sourceId }, open)
  const claims = createClaims({ ...options, relayId, listEnd: config.listEnd, holder: lease.holder, onCount })
  client.on('ready', () => void claims.flush())

  const runList = async (list: string, listState: ListState, adoption: ClaimAdoption, signal: AbortSignal) => {
    listState.progressMs = now()
    listState.failing = undefined
    const waiter = createRedis({ ...source, name: `${sourceId} ${list}`, log, reconnect: true, failing })
    signal.addEventListener('abort', () => waiter.destroy(), { once: true })
    await connect(waiter, signal)
    const run = { ...options, list, state: listState, claims, adoption, waiter }
    await Promise.all([runListSource(run, signal), keepHeard(waiter, listState, signal)])
  }

  /** Pings the connection while it is unused. While the list waits for items, the blocking move gets a reply every few seconds. */
  const keepHeard = async (waiter: Redis, listState: ListState, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await sleepToBeat(PING_MS, signal)
      // A failure ends the connection, and its listener logs that.
      if (waiter.isReady && listState.waitsFor !== 'items') waiter.ping().catch(() => undefined)
    }
  }

  const adoptClaims = async (adoption: ClaimAdoption, signal: AbortSignal): Promise<void> => {
    // Each list logs the missing rights.
    const isAllowed = async () => (await Promise.allSettled([mayWrite()]))[0].status === 'fulfilled'
    while (!signal.aborted && !(await isAllowed())) await sleep(1_000, signal)
    await adoption.run()
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
            { code: 'relay.list.unnamed', source: sourceId, list, items: await client.lLen(list) },
            'This list exists in Redis, but ENIGMA_LISTS does not name it, so the relay does not consume it; add it to ENIGMA_LISTS if this relay should consume it',
          )
        }
      } catch {
        // Redis is unreachable, which is logged elsewhere.
      }
      await sleep(60_000, signal)
    }
  }

  const runLeased = async (signal: AbortSignal): Promise<void> => {
    const adoption = createClaimAdoption({ ...options, relayId, lists: config.lists, claims, state, lease }, signal)
    await Promise.all([
      ...[...state.lists].map(([list, listState]) => runList(list, listState, adoption, signal)),
      adoptClaims(adoption, signal),
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
            { code: 'relay.lease.lost', source: sourceId, relayId },
            'Another relay took this ENIGMA_RELAY_ID while Redis was unreachable; this relay has stopped taking items. Give each relay its own ENIGMA_RELAY_ID',
          )
        lost.abort()
        await work
      }
    },
    /** Deletes settled claims that Redis did not delete while it refused writes. Otherwise they would stay until another claim is settled. */
    flush: claims.flush,
    /** Writes back claims that Redis has lost, for example because it came back empty. A running relay has them in memory. */
    async writeBack(): Promise<void> {
      if (!state.leased) return
      try {
        const written = await claims.writeBack()
        if (written > 0)
          log.warn(
            { code: 'relay.claims.restored', source: sourceId, claims: written },
            'Redis had lost claims of this relay (it came back empty, or another relay adopted them); the relay wrote them back from memory',
          )
      } catch (error) {
        log.debug(
          { code: 'relay.claims.restore_failed', source: sourceId, error: describe(error) },
          'The relay could not write claims back to Redis; it retries',
        )
      }
    },
    /** Removes sent items from unfinished claims when the relay stops, and releases the lease. @throws what Redis answers */
    async finish(): Promise<void> {
      await claims.finish()
      await lease.release()
    },
  }
}
