import { sleep, sleepToBeat } from '../../runtime/index.ts'
import { createAdoption, type AdoptionOptions } from './adoption.ts'
import type { Claims } from './claims.ts'
import { describe } from '../errors.ts'
import { LEASE_MS } from '../redis/lease.ts'
import type { ListIntake } from './list-intake.ts'
import type { Metrics } from '../metrics.ts'
import { reportDamage } from '../redis/numbers.ts'

/** Why leftover claims cannot be looked for, and since when (ms). */
export type LookFailure = { readonly sinceMs: number; readonly reason: string }

export type LeftoversOptions = AdoptionOptions & {
  readonly sourceId: string
  readonly claims: Claims
  /** The lists that the relay consumes: each asks for its own leftovers before it takes anything newer. */
  readonly lists: readonly string[]
  readonly intake: Pick<ListIntake, 'room' | 'take'>
  readonly state: { lookFailure: LookFailure | undefined }
  readonly metrics: Metrics
}

/** How often (ms) it looks for leftovers, and how often while the lists wait for that. */
const LOOK_MS = 4_000
const SOON_MS = 250
/** Bytes taken at once from a list that is no longer named. */
const TAKE_BYTES = 4 * 1024 * 1024

/**
 * Adopts what this relay or others left in claims, while this process holds the relay id: list by list, in the order of their numbers, each
 * claim once. Everything that it remembers ends with the signal.
 */
export function createLeftovers(options: LeftoversOptions, signal: AbortSignal) {
  const { sourceId, client, claims, lists, intake, state, log, metrics, now, lease } = options
  const adoption = createAdoption(options)
  const underWay = new Map<string, Promise<void>>()
  /** Lists to check again: more may have come after the check that is under way. */
  const again = new Set<string>()
  /** Resolves when it is known which other relays are gone: their leftovers go before anything newer. */
  const begun = Promise.withResolvers<void>()
  const unreadable = new Set<number>()
  let failing: LookFailure | undefined
  /** Whether anything failed since the last look began. */
  let hasFailed = false

  const adoptAll = async (list: string): Promise<void> => {
    const left = (await claims.unknown()).filter((claim) => claim.list === list)
    while (left.length > 0) {
      const { items } = await intake.room(list, signal)
      if (signal.aborted) return
      // As many as there is room for, and at least one. Compacted claims hold few items each.
      let count = 0
      for (let sum = 0; count < left.length && (count === 0 || sum + (left[count]?.items ?? 0) <= items); count++)
        sum += left[count]?.items ?? 0
      for (const claim of await Promise.all(left.splice(0, count).map(({ number }) => claims.adopt(number)))) {
        if (claim === undefined) continue
        metrics.adopted.inc({ source: sourceId, transport: 'list' }, claim.items.size)
        intake.take(claim)
      }
    }
  }
  const adoptWhileAsked = async (list: string): Promise<void> => {
    await begun.promise
    while (again.delete(list) && !signal.aborted) await adoptAll(list)
  }

  /** Adopts the leftovers of a list. Resolves when all of them are in lanes, or the signal aborts. @throws what Redis answers */
  const adopt = (list: string): Promise<void> => {
    again.add(list)
    const running = underWay.get(list) ?? adoptWhileAsked(list).finally(() => underWay.delete(list))
    underWay.set(list, running)
    return running
  }

  /** Claims what a blocking move took from a list that is no longer named. */
  const takeUnnamed = async (list: string): Promise<void> => {
    await claims.beginGeneration(list)
    const taken = await claims.take(list, 0, TAKE_BYTES)
    if (typeof taken === 'object') intake.take(taken.claim)
  }

  const look = async (): Promise<void> => {
    const { doubtful, failure } = await adoption.look()
    if (doubtful === 0 && failure === undefined) begun.resolve()
    const [waiting, unknown] = await Promise.all([
      claims.waitingLists(),
      claims.unknown(),
      reportDamage({ client, sourceId, log, metrics }),
    ])
    for (const list of waiting) if (!lists.includes(list)) await takeUnnamed(list)
    // Not awaited: a list without room must not hold up the claims of others.
    for (const { number, list, items } of unknown) if (list === undefined) logUnreadable(number, items)
    for (const list of new Set(unknown.map((claim) => claim.list))) if (list !== undefined) adopt(list).catch(fail)
    if (failure !== undefined) throw failure
  }
  const logUnreadable = (claim: number, items: number) => {
    if (unreadable.has(claim)) return
    unreadable.add(claim)
    log.error(
      { code: 'relay.claims.unreadable', source: sourceId, claim, items },
      'The relay cannot read a leftover claim, which stays in Redis. A newer version of the relay may have written it',
    )
  }
  const fail = (error: unknown) => {
    hasFailed = true
    if (failing === undefined && client.isReady)
      log.warn(
        { code: 'relay.claims.look_failed', source: sourceId, error: describe(error) },
        'The relay could not look for leftover claims; it retries',
      )
    failing ??= { sinceMs: now(), reason: describe(error) }
  }

  return {
    adopt,
    /** Looks for leftovers until the signal aborts: also of lists that are no longer named, and of relays that are gone. */
    async run(): Promise<void> {
      let isBegun = false
      void begun.promise.then(() => (isBegun = true))
      signal.addEventListener('abort', () => begun.resolve(), { once: true })
      while (!signal.aborted) {
        const hadFailed = hasFailed
        hasFailed = false
        try {
          await look()
          if (!hadFailed) failing = undefined
        } catch (error) {
          fail(error)
          // Most failures pass, such as a cut connection. A server that refuses the commands must not stop the lists for ever.
          if (lease.steadyMs() >= LEASE_MS) begun.resolve()
        }
        state.lookFailure = failing
        await (isBegun ? sleepToBeat(LOOK_MS, signal) : sleep(SOON_MS, signal))
      }
      await Promise.allSettled(underWay.values())
    },
  }
}

export type Leftovers = ReturnType<typeof createLeftovers>
