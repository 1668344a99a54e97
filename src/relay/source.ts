import { backoffMs, sleep, type Logger } from '../runtime/index.ts'
import { createClaims, type Claim, type Claims } from './claims.ts'
import type { RelayConfig, SourceConfig } from './config.ts'
import { describe } from './errors.ts'
import type { JournalIntake } from './journal-intake.ts'
import { PARKED_KEY } from './keys.ts'
import { createLease } from './lease.ts'
import { runListSource } from './list-source.ts'
import type { Metrics } from './metrics.ts'
import { runPubsubSource, type Gap } from './pubsub-source.ts'
import { createRedis, type Redis } from './redis.ts'
import { sayUnnamedLists } from './unnamed-lists.ts'

export type SourceOptions = {
  readonly source: SourceConfig
  readonly config: RelayConfig
  readonly intake: JournalIntake
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
  readonly room: (signal: AbortSignal) => Promise<void>
  /** Puts a claim's items in their lanes. */
  readonly onClaim: (sourceId: string, claim: Claim) => void
  readonly onClaimSettled: () => void
  readonly heardUntilMs: number | undefined
  readonly onGap: (gap: Gap) => void
  readonly onHeard: (sourceId: string, atMs: number) => void
  /** Aborts when what is left is to be left: after the last pack was settled. */
  readonly endSignal: AbortSignal
}

/** How often list lengths are looked at for the metrics. */
const WATCH_MS = 2_000

/** One Redis server of a dialler: its lists, its PubSub, and what the relay keeps there. */
export function createSource(options: SourceOptions) {
  const { source, config, intake, log, metrics, now, room, onClaim, onClaimSettled, onGap, onHeard, endSignal } = options
  const client = createRedis({ url: source.url, name: source.id, log, reconnect: true })
  let connections = 0
  client.on('ready', () => {
    connections++
    void claims.flush()
  })
  const lease = createLease({ client, relayId: config.relayId, log })
  const claims: Claims = createClaims({
    client, relayId: config.relayId, listEnd: config.listEnd, log, now, signal: endSignal,
    onSettled: () => {
      metrics.claims.set({ source: source.id }, claims.openCount)
      onClaimSettled()
    },
  })
  const state = { answered: undefined as number | undefined, heard: undefined as number | undefined, leased: false }

  // One at a time, whichever list asks: claims are taken up in the order of their numbers, once.
  let adopting: Promise<void> | undefined
  const adopt = (signal: AbortSignal): Promise<void> => {
    adopting ??= adoptAll(signal).finally(() => {
      adopting = undefined
    })
    return adopting
  }
  const adoptAll = async (signal: AbortSignal): Promise<void> => {
    for (const list of await claims.waitingLists()) {
      // A list that is no longer named: what was moved from it is ours all the same.
      if (!config.lists.includes(list)) await claims.take(list, 0, 1).then((taken) => taken && onClaim(source.id, taken.claim))
    }
    for (const number of await claims.unknown()) {
      await room(signal)
      if (signal.aborted) return
      const claim = await claims.adopt(number)
      if (claim === undefined) continue
      metrics.adopted.inc({ source: source.id, transport: 'list' }, claim.items.filter((item) => item !== undefined).length)
      onClaim(source.id, claim)
    }
  }

  const watch = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      let pauseMs = WATCH_MS
      try {
        await client.ping()
        state.answered = now()
        metrics.parkedItems.set({ source: source.id }, await client.lLen(PARKED_KEY))
        // One by one: a key that is no list must hide no other's length.
        const lengths = await Promise.allSettled(config.lists.map((list) => client.lLen(list)))
        lengths.forEach((length, at) => {
          if (length.status === 'fulfilled') metrics.backlog.set({ source: source.id, list: config.lists[at] as string }, length.value)
        })
      } catch (error) {
        log.debug({ source: source.id, error: describe(error) }, 'Redis was not asked')
        pauseMs = WATCH_MS / 10
      }
      metrics.claims.set({ source: source.id }, claims.openCount)
      await sleep(pauseMs, signal)
    }
  }

  const runList = async (list: string, signal: AbortSignal): Promise<void> => {
    const waiter: Redis = createRedis({ url: source.url, name: `${source.id} ${list}`, log, reconnect: true })
    signal.addEventListener('abort', () => waiter.destroy(), { once: true })
    await connect(waiter, signal)
    await runListSource({
      list, claims, waiter, relayId: config.relayId, listEnd: config.listEnd, log, now, room, adopt,
      connections: () => connections,
      onClaim: (claim) => onClaim(source.id, claim),
      onBacklog: (items) => metrics.backlog.set({ source: source.id, list }, items),
    }, signal)
  }

  const runPubsub = async (signal: AbortSignal): Promise<void> => {
    if (config.channels.length === 0) return
    await runPubsubSource({
      sourceId: source.id, url: source.url, patterns: config.channels, client, intake, log, metrics, now, onGap,
      heardUntilMs: state.heard ?? options.heardUntilMs,
      onHeard: (atMs) => {
        state.heard = atMs
        onHeard(source.id, atMs)
      },
    }, signal)
  }

  /** While the relay id is held. Also without a named list claims are taken up: those of lists that were named before. */
  const runLeased = async (signal: AbortSignal): Promise<void> => {
    const orphans = async () => {
      for (let failures = 1; config.lists.length === 0 && !signal.aborted; failures++) {
        try {
          return await adopt(signal)
        } catch {
          await sleep(backoffMs(failures), signal)
        }
      }
    }
    await Promise.all([
      ...config.lists.map((list) => runList(list, signal)),
      orphans(), runPubsub(signal), sayUnnamedLists(client, source.id, config.lists, log, signal),
    ])
  }

  return {
    id: source.id,
    state,
    /** Runs until the signal aborts: then nothing more is taken or heard. */
    async run(signal: AbortSignal): Promise<void> {
      void connect(client, signal)
      const watching = watch(signal)
      while (!signal.aborted) {
        if (!(await lease.acquire(signal))) break
        state.leased = true
        const until = new AbortController()
        const both = AbortSignal.any([signal, until.signal])
        const work = runLeased(both)
        const kept = await lease.keep(both)
        state.leased = false
        if (!kept) log.error({ source: source.id, relayId: config.relayId }, 'another relay took this ENIGMA_RELAY_ID while Redis was away: stopped taking; give each relay an id of its own')
        until.abort()
        await work
      }
      await watching
    },
    /** Appends to the parked list. */
    async park(entry: string): Promise<void> {
      await client.rPush(PARKED_KEY, entry)
    },
    /** After the last pack was settled: notes what is left, gives the lease back, closes. */
    async close(): Promise<void> {
      try {
        if (client.isReady) {
          await claims.leave()
          await lease.release()
        }
      } catch (error) {
        log.warn({ source: source.id, error: describe(error) }, 'what was sent could not be noted in Redis: some of it is sent again, with the same ids')
      }
      client.destroy()
    },
  }
}

export type Source = ReturnType<typeof createSource>

/** Connects, however long it takes; node-redis gives up on a first connection only when told to. */
async function connect(client: Redis, signal: AbortSignal): Promise<void> {
  for (let failures = 1; !signal.aborted && !client.isOpen; failures++) {
    try {
      await client.connect()
    } catch {
      // Said by the client's error listener.
      await sleep(backoffMs(failures, { maxMs: 1_000 }), signal)
    }
  }
}
