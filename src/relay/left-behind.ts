import { sleep, type Logger } from '../runtime/index.ts'
import { adoptFromOthers } from './adoption.ts'
import type { Claim, Claims } from './claims.ts'
import { describe } from './errors.ts'
import { LEASE_MS } from './lease.ts'
import type { Metrics } from './metrics.ts'
import type { Numbers } from './numbers.ts'
import type { Redis } from './redis.ts'

export type LeftBehindOptions = {
  readonly sourceId: string
  readonly client: Redis
  readonly relayId: string
  readonly claims: Claims
  readonly numbers: Numbers
  /** The lists that are taken from: each asks by itself for what was left of it, before it takes anything newer. */
  readonly lists: readonly string[]
  /** Resolves when there is room for another claim of this list. */
  readonly room: (list: string, signal: AbortSignal) => Promise<void>
  readonly onClaim: (claim: Claim) => void
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
}

/** What this relay or others left in claims: list by list, in the order of their numbers, each claim once. */
export function createLeftBehind({
  sourceId,
  client,
  relayId,
  claims,
  numbers,
  lists,
  room,
  onClaim,
  log,
  metrics,
  now,
}: LeftBehindOptions) {
  const underWay = new Map<string, Promise<void>>()
  /** Lists to be looked at again, since more may have come after the look that is under way. */
  const again = new Set<string>()

  const adoptAll = async (list: string, signal: AbortSignal): Promise<void> => {
    for (const { number } of (await claims.unknown()).filter((claim) => claim.list === list)) {
      await room(list, signal)
      if (signal.aborted) return
      const claim = await claims.adopt(number)
      if (claim === undefined) continue
      metrics.adopted.inc(
        { source: sourceId, transport: 'list' },
        claim.items.filter((item) => item !== undefined).length,
      )
      onClaim(claim)
    }
  }
  const run = async (list: string, signal: AbortSignal): Promise<void> => {
    try {
      while (again.delete(list) && !signal.aborted) await adoptAll(list, signal)
    } finally {
      underWay.delete(list)
    }
  }

  /** Takes up what was left of this list; resolves when all of it is in lanes, or the signal aborts. @throws what Redis answers */
  const adopt = (list: string, signal: AbortSignal): Promise<void> => {
    again.add(list)
    const running = underWay.get(list) ?? run(list, signal)
    underWay.set(list, running)
    return running
  }

  const look = async (signal: AbortSignal): Promise<void> => {
    await adoptFromOthers({ client, relayId, numbers, log, now })
    for (const list of await claims.waitingLists()) {
      // A list that is no longer named: what was moved from it is ours all the same.
      if (!lists.includes(list)) await claims.take(list, 0, 1).then((taken) => taken && onClaim(taken.claim))
    }
    // Not waited for: a list that has no room keeps nobody else's claims waiting.
    for (const list of new Set((await claims.unknown()).map((claim) => claim.list))) adopt(list, signal).catch(unseen)
  }
  const unseen = (error: unknown) =>
    log.warn(
      { code: 'relay.claims.look_failed', source: sourceId, error: describe(error) },
      'Could not look for leftover claims; trying again',
    )

  return {
    adopt,
    /** Looks regularly, also for claims of lists that are not named any more and for those of relays that are gone. */
    async run(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        await look(signal).catch(unseen)
        await sleep(LEASE_MS / 2, signal)
      }
      await Promise.allSettled(underWay.values())
    },
  }
}

export type LeftBehind = ReturnType<typeof createLeftBehind>
