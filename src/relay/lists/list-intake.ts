import type { Route } from '../../protocol/index.ts'
import { backoffMs, createChangeDetector, sleep } from '../../runtime/index.ts'
import { describe } from '../relay-error.ts'
import { toItem, type Acknowledger } from '../item.ts'
import { judgeRedis, reasonOf, redisAdvice } from '../redis/advice.ts'
import type { Redis } from '../redis/redis-client.ts'
import { waitingKey } from '../redis/relay-keys.ts'
import type { Sender } from '../sender/sender.ts'
import type { SourceOptions, SourceTools } from '../source.ts'
import type { ClaimAdoption } from './adoption.ts'
import type { Claim, Claims } from './claims.ts'
import type { Kept } from './open-claims.ts'
import type { SourceListsOptions } from './source-lists.ts'

type ListIntakeOptions = Pick<SourceTools & SourceOptions, 'sourceId' | 'metrics' | 'stamp'> & {
  readonly senders: ReadonlyMap<Route, Sender>
  /** The bytes of items in memory above which nothing more is taken from a list. */
  readonly listBytes: number
}

/** How many items and bytes may be taken from a list now. */
export type Room = { readonly items: number; readonly bytes: number }

/** The maximum number of items of one list that Redis holds in claims, and so the maximum number that are sent again after a crash. */
const MAX_LIST_ITEMS = 4_000

/** When a list has room for fewer items than this, its claims are compacted sooner. */
const SHORT_ITEMS = 500

/**
 * Creates the list intake: items of one source on their way from claims into lanes. Their claim keeps them. The limits of items and bytes apply to
 * each list by itself, so that a list whose queue accepts nothing, or whose items are large, leaves room for the others.
 */
export function createListIntake({ sourceId, senders, metrics, stamp, listBytes }: ListIntakeOptions) {
  const itemsOf = new Map<string, number>()
  const bytesOf = new Map<string, number>()
  const waiting = new Set<() => void>()
  const add = (counts: Map<string, number>, list: string, more: number) =>
    counts.set(list, (counts.get(list) ?? 0) + more)
  const roomOf = (list: string): Room => ({
    items: MAX_LIST_ITEMS - (itemsOf.get(list) ?? 0),
    bytes: listBytes - (bytesOf.get(list) ?? 0),
  })
  const onRoom = () => {
    for (const checkRoom of waiting) checkRoom()
  }

  return {
    /** Resolves with the room for a list as soon as there is any, or when the signal aborts. */
    room: async (list: string, signal: AbortSignal): Promise<Room> => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const checkRoom = () => {
        const { items, bytes } = roomOf(list)
        if ((items > 0 && bytes > 0) || signal.aborted) resolve()
      }
      waiting.add(checkRoom)
      signal.addEventListener('abort', checkRoom)
      checkRoom()
      try {
        await promise
      } finally {
        waiting.delete(checkRoom)
        signal.removeEventListener('abort', checkRoom)
      }
      return roomOf(list)
    },
    /** Lets waiting lists check for room again, because senders have sent something. */
    onRoom,
    /** Whether little more of this list may be taken, because Redis holds many of its items in claims. */
    isShort: (list: string): boolean => roomOf(list).items < SHORT_ITEMS,
    /** Records that Redis holds this many items more (or fewer) of this list in claims. */
    hold(list: string, more: number): void {
      add(itemsOf, list, more)
      if (more < 0) onRoom()
    },
    /** Puts the items of a claim in their lanes. */
    enqueue({ list, number, takenMs, maxWaitMs, items, acknowledger, former }: Claim): void {
      const counting: Acknowledger = {
        settle: (item) => {
          add(bytesOf, list, -item.bytes)
          acknowledger.settle(item)
        },
        park: async (item, reason, detail) => {
          await acknowledger.park(item, reason, detail)
          add(bytesOf, list, -item.bytes)
        },
        keepAttempt: acknowledger.keepAttempt,
      }
      const isRedelivery = former !== undefined
      const origin = { sourceId, transport: 'list' as const, channel: list, number, timeMs: takenMs, maxWaitMs }
      for (const [index, kept] of items) {
        const stamped = stamp(kept.data, { ...origin, index })
        metrics.received.inc({ source: sourceId, transport: 'list', route: stamped.route.name })
        if (stamped.reason !== undefined) metrics.other.inc({ source: sourceId, reason: stamped.reason })
        const item = toItem(stamped, counting, index, { attempt: former?.get(index), isRedelivery })
        if (item.data === kept.data) items.set(index, item as Kept)
        add(bytesOf, list, item.bytes)
        senders.get(stamped.route)?.push(item)
      }
    },
  }
}

export type ListIntake = ReturnType<typeof createListIntake>

/** The state of a list: the cause of its wait, and the time (ms) at which the relay last took items from it or found it empty. */
export type ListState = {
  waitsFor: 'lease' | 'claims' | 'room' | 'redis' | 'items'
  progressMs: number
  items: number
  /** Since when (ms) nothing can be taken, and why. */
  failing?: { readonly sinceMs: number; readonly reason: string } | undefined
}

type ListSourceOptions = SourceListsOptions & {
  readonly list: string
  readonly state: ListState
  readonly claims: Claims
  readonly adoption: ClaimAdoption
  /** A connection of its own, because it is blocked most of the time. */
  readonly waiter: Redis
}

/** The maximum number of items in one claim: enough to fill packs, few enough to send again after a crash. */
const MAX_TAKE_ITEMS = 500
const MAX_TAKE_BYTES = 4 * 1024 * 1024

/** A blocked connection gets a reply at least this often, so that a dead one is noticed. */
const BLOCK_SECONDS = 3

/** Consumes one list until the signal aborts: claim after claim while it has items, then a blocking move for the next item. */
export async function runListSource(options: ListSourceOptions, signal: AbortSignal): Promise<void> {
  const { list, state, claims, adoption, intake, waiter, mayWrite, connections, log, now } = options
  const { relayId, listEnd } = options.config
  /** The connection for which the leftovers of lost replies are known. Nothing is taken before that. */
  let preparedConnection: number | undefined
  let failures = 0
  const change = createChangeDetector()
  const waiting = waitingKey(relayId, list)

  const prepare = async (): Promise<void> => {
    const connection = connections()
    await mayWrite()
    // First fence older takes, then find what they took.
    await claims.beginGeneration(list)
    state.waitsFor = 'claims'
    await adoption.adopt(list)
    preparedConnection = connection
  }

  const takeOrWait = async (): Promise<void> => {
    state.waitsFor = 'room'
    const { items, bytes } = await intake.room(list, signal)
    if (signal.aborted) return
    state.waitsFor = 'redis'
    const taken = await claims.take(list, Math.min(MAX_TAKE_ITEMS, items), Math.min(MAX_TAKE_BYTES, Math.ceil(bytes)))
    if (taken === 'fenced') {
      // Redis came back empty, or another process has begun a generation.
      preparedConnection = undefined
      return
    }
    state.items = taken?.left ?? 0
    state.progressMs = now()
    if (taken !== undefined) return intake.enqueue(taken.claim)
    state.waitsFor = 'items'
    if (listEnd === 'right') await waiter.brPopLPush(list, waiting, BLOCK_SECONDS)
    else await waiter.blMove(list, waiting, 'LEFT', 'LEFT', BLOCK_SECONDS)
  }

  while (!signal.aborted) {
    try {
      state.waitsFor = 'redis'
      if (preparedConnection !== connections()) await prepare()
      await takeOrWait()
      // Only when both connections are back: taking may work while waiting does not.
      if (!waiter.isReady || preparedConnection === undefined) continue
      if (failures > 0) log.info({ code: 'relay.list.recovered', list }, 'The relay takes items from the list again')
      failures = 0
      change(undefined)
      state.failing = undefined
    } catch (error) {
      if (signal.aborted) return
      failures++
      // A command whose reply was lost may have run: find out before taking more.
      preparedConnection = undefined
      const advice = redisAdvice(error)
      // Logged once for each remedy, because the first error may not be the one that lasts.
      if ((advice !== undefined && change(advice) === 'new') || failures === 1)
        log.warn(
          { code: 'relay.list.failed', list, error: describe(error) },
          advice ?? 'The relay could not take items from the list, which keeps them; the relay retries',
        )
      state.failing = { sinceMs: state.failing?.sinceMs ?? now(), reason: reasonOf(judgeRedis(error)) }
      await sleep(backoffMs(failures, { baseMs: 50, maxMs: 1_000 }), signal)
    }
  }
}
