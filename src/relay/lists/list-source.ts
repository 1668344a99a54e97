import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import type { Claim, Claims } from './claims.ts'
import { describe } from '../errors.ts'
import { waitingKey } from '../redis/keys.ts'
import type { Room } from './list-intake.ts'
import type { Redis } from '../redis/client.ts'
import { judgeRedis, reasonOf, redisAdvice } from '../redis/advice.ts'

/** What a list waits for, and since when (ms) nothing was taken from it though there may have been something. */
export type ListState = {
  waitsFor: 'lease' | 'claims' | 'room' | 'redis' | 'items'
  progressMs: number
  items: number
  /** Nothing can be taken: since when (ms), and why. */
  failing?: { readonly sinceMs: number; readonly reason: string } | undefined
}

export type ListSourceOptions = {
  readonly list: string
  readonly state: ListState
  readonly claims: Claims
  /** A connection of its own, since it is blocked most of the time. */
  readonly waiter: Redis
  readonly relayId: string
  readonly listEnd: 'right' | 'left'
  readonly log: Logger
  readonly now: () => number
  /** Resolves when there is room for another claim. */
  readonly room: (signal: AbortSignal) => Promise<Room>
  readonly onClaim: (claim: Claim) => void
  /** Resolves when the relay may write to this Redis. */
  readonly prepare: () => Promise<void>
  /** Adopts what is in Redis and not known here; to be done before anything newer is taken. */
  readonly adopt: () => Promise<void>
  /** Counts the connections of the claims' client: when it changed, a reply may have been cut. */
  readonly connections: () => number
}

/** Items in one claim: enough to fill packs, few enough to send again after a crash. */
const TAKE_ITEMS = 500
const TAKE_BYTES = 4 * 1024 * 1024

/** A blocked connection is heard from at least this often, so that a dead one is noticed. */
const BLOCK_SECONDS = 3

/** Takes one list until the signal aborts: claim after claim while there is something, else a blocking move for the next item. */
export async function runListSource(options: ListSourceOptions, signal: AbortSignal): Promise<void> {
  const { list, state, claims, waiter, relayId, listEnd, log, now, room, onClaim, prepare, adopt, connections } =
    options
  let seenConnection = -1
  let failures = 0
  let said: string | undefined
  const waiting = waitingKey(relayId, list)

  const waitForItem = async (): Promise<void> => {
    if (listEnd === 'right') await waiter.brPopLPush(list, waiting, BLOCK_SECONDS)
    else await waiter.blMove(list, waiting, 'LEFT', 'LEFT', BLOCK_SECONDS)
  }

  // Only when a round is through, and both connections are back: taking may work while waiting does not.
  const endFailure = () => {
    if (!waiter.isReady) return
    if (failures > 0) log.info({ code: 'relay.list.recovered', list }, 'The relay takes items from the list again')
    failures = 0
    said = undefined
    state.failing = undefined
  }

  while (!signal.aborted) {
    try {
      state.waitsFor = 'redis'
      if (seenConnection !== connections()) {
        const connection = connections()
        await prepare()
        // First no older take can happen any more, then what it took is found.
        await claims.beginGeneration(list)
        state.waitsFor = 'claims'
        await adopt()
        seenConnection = connection
      }
      state.waitsFor = 'room'
      const { items, bytes } = await room(signal)
      if (signal.aborted) return
      state.waitsFor = 'redis'
      const taken = await claims.take(list, Math.min(TAKE_ITEMS, items), Math.min(TAKE_BYTES, Math.ceil(bytes)))
      if (taken === 'fenced') {
        // Redis came back empty, or another process has announced itself.
        seenConnection = -1
        continue
      }
      state.items = taken?.left ?? 0
      state.progressMs = now()
      if (taken !== undefined) onClaim(taken.claim)
      else {
        state.waitsFor = 'items'
        await waitForItem()
      }
      endFailure()
    } catch (error) {
      if (signal.aborted) return
      failures++
      // What was cut may have happened: look again before taking more.
      seenConnection = -1
      const advice = redisAdvice(error)
      // Once for each thing that can be done about it; what ended first may not be what lasts.
      if (failures === 1 || (advice !== undefined && advice !== said)) {
        log.warn(
          { code: 'relay.list.failed', list, error: describe(error) },
          advice ?? 'The relay could not take items from the list, which keeps them; the relay retries',
        )
        said = advice
      }
      state.failing = { sinceMs: state.failing?.sinceMs ?? now(), reason: reasonOf(judgeRedis(error)) }
      await sleep(backoffMs(failures, { baseMs: 50, maxMs: 1_000 }), signal)
    }
  }
}
