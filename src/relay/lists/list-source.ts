import { backoffMs, createNews, sleep, type Logger } from '../../runtime/index.ts'
import type { Claims } from './claims.ts'
import { describe } from '../errors.ts'
import { waitingKey } from '../redis/keys.ts'
import type { Leftovers } from './leftovers.ts'
import type { ListIntake } from './list-intake.ts'
import type { Redis } from '../redis/client.ts'
import { judgeRedis, reasonOf, redisAdvice } from '../redis/advice.ts'

/** What a list waits for, and when (ms) it was last taken from or found empty. */
export type ListState = {
  waitsFor: 'lease' | 'claims' | 'room' | 'redis' | 'items'
  progressMs: number
  items: number
  /** Since when (ms) nothing can be taken, and why. */
  failing?: { readonly sinceMs: number; readonly reason: string } | undefined
}

export type ListSourceOptions = {
  readonly list: string
  readonly state: ListState
  readonly claims: Claims
  readonly leftovers: Leftovers
  readonly intake: Pick<ListIntake, 'room' | 'take'>
  /** A connection of its own, since it is blocked most of the time. */
  readonly waiter: Redis
  readonly relayId: string
  readonly listEnd: 'right' | 'left'
  /** Resolves when the relay may write to this Redis. @throws what keeps it from writing */
  readonly mayWrite: () => Promise<void>
  /** Counts the connections of the claims' client: when it has changed, a reply may have been cut. */
  readonly connections: () => number
  readonly log: Logger
  readonly now: () => number
}

/** Items in one claim: enough to fill packs, few enough to send again after a crash. */
const TAKE_ITEMS = 500
const TAKE_BYTES = 4 * 1024 * 1024

/** A blocked connection gets a reply at least this often, so that a dead one is noticed. */
const BLOCK_SECONDS = 3

/** Consumes one list until the signal aborts: claim after claim while it has items, then a blocking move for the next item. */
export async function runListSource(options: ListSourceOptions, signal: AbortSignal): Promise<void> {
  const { list, state, claims, leftovers, intake, waiter, listEnd, mayWrite, connections, log, now } = options
  /** The connection for which it is known what a cut reply may have taken: before that, nothing is taken. */
  let preparedConnection: number | undefined
  let failures = 0
  const change = createNews()
  const waiting = waitingKey(options.relayId, list)

  const prepare = async (): Promise<void> => {
    const connection = connections()
    await mayWrite()
    // First fence older takes, then find what they took.
    await claims.beginGeneration(list)
    state.waitsFor = 'claims'
    await leftovers.adopt(list)
    preparedConnection = connection
  }

  const takeOrWait = async (): Promise<void> => {
    state.waitsFor = 'room'
    const { items, bytes } = await intake.room(list, signal)
    if (signal.aborted) return
    state.waitsFor = 'redis'
    const taken = await claims.take(list, Math.min(TAKE_ITEMS, items), Math.min(TAKE_BYTES, Math.ceil(bytes)))
    if (taken === 'fenced') {
      // Redis came back empty, or another process has begun a generation.
      preparedConnection = undefined
      return
    }
    state.items = taken?.left ?? 0
    state.progressMs = now()
    if (taken !== undefined) return intake.take(taken.claim)
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
      // A command whose reply was cut may have run: find out before taking more.
      preparedConnection = undefined
      const advice = redisAdvice(error)
      // Once for each remedy: the first error may not be the one that lasts.
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
