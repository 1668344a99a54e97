import { sleep, sleepToBeat } from '../../runtime/index.ts'
import { describe } from '../relay-error.ts'
import {
  claimPrefix,
  claimsKey,
  leaseKey,
  RELAYS_KEY,
  waitingPrefix,
  UNLEASED,
  reportDamage,
  type Numbers,
} from '../redis/relay-keys.ts'
import { LEASE_MS, type Lease } from '../redis/lease.ts'
import type { SourceTools } from '../source.ts'
import type { Claims } from './claims.ts'
import type { ListIntake } from './list-intake.ts'

type RelayAdoptionOptions = Pick<SourceTools, 'client' | 'log' | 'now'> & {
  readonly relayId: string
  readonly numbers: Numbers
  /** The lease of this relay itself. */
  readonly lease: Pick<Lease, 'holder' | 'steadyMs' | 'hasOurJournal'>
}

/** A relay that left nothing and was not seen for this long (ms) is forgotten. */
const FORGET_MS = 24 * 60 * 60 * 1000

/**
 * Adopts the claims of relays that are gone: moves them into this relay's registry. They keep their numbers, so their items keep their ids. A relay
 * is gone in one of three cases: it released its lease; this process holds its journal; or nobody renewed its lease for as long as a lease lasts
 * while this relay could renew its own. Before that, its lease may have expired only because the server or the network was unreachable, or refused
 * writes. A relay that was merely suspended also sends the items in its memory, as copies.
 */
export function createRelayAdoption({ client, relayId, numbers, log, now, lease }: RelayAdoptionOptions) {
  /** When the lease of each relay was last renewed, by its own clock, as seen at the first check. So the time is only checked for a change. */
  const renewed = new Map<string, number>()

  /** Relays whose journal this process holds. If such a relay takes a lease again, it is running, and one of the two journals is a copy. */
  const proven = new Set<string>()

  /** Resolves with true when it is not known yet whether the other relay is gone, because our own lease had expired too. */
  const adopt = async (other: string): Promise<boolean> => {
    const claims = await client.adopt({
      otherLease: leaseKey(other),
      otherRegistry: claimsKey(other),
      ownLease: leaseKey(relayId),
      ownRegistry: claimsKey(relayId),
      otherPrefix: claimPrefix(other),
      ownPrefix: claimPrefix(relayId),
      waitingPrefix: waitingPrefix(other),
      nowMs: now(),
      leastNumber: numbers.lowerBound(),
      relayId: other,
      forgetMs: now() - FORGET_MS,
      holder: lease.holder,
    })
    if (claims > 0)
      log.warn(
        { code: 'relay.claims.adopted', relayId: other, claims },
        'The relay adopted the claims of another relay that is not running; it sends their items again with the same ids',
      )
    return claims === UNLEASED
  }

  const leftSomething = async (other: string): Promise<boolean> => {
    const fields = await client.hKeys(claimsKey(other))
    const waiting = fields.filter((field) => !/^\d+$/.test(field))
    if (waiting.length < fields.length) return true
    const keys = waiting.map((field) => waitingPrefix(other) + field.replace(/^waiting:/, ''))
    return (await Promise.all(keys.map((key) => client.exists(key)))).some((exists) => exists > 0)
  }

  /** Resolves with true while the relay has claims and may still be running. */
  const checkRelay = async (other: string, score: number): Promise<boolean> => {
    if (!renewed.has(other)) renewed.set(other, score)
    const isGivenBack = score < 0
    if (!isGivenBack && lease.steadyMs() < LEASE_MS) {
      const holder = await client.get(leaseKey(other))
      const isOurs = holder !== null && !proven.has(other) && lease.hasOurJournal(holder)
      if (!isOurs) return renewed.get(other) === score && (await leftSomething(other))
      proven.add(other)
      await client.releaseLease({ lease: leaseKey(other), holder, relayId: other, nowMs: now() })
    }
    return adopt(other)
  }

  return {
    /**
     * Checks all other relays once. Resolves with the number of relays that have claims and may be running, and with the first error. @throws what
     * Redis answers
     */
    async checkOthers(): Promise<{ readonly doubtful: number; readonly failure: unknown }> {
      let doubtful = 0
      let failure: unknown
      for (const { value: other, score } of await client.zRangeWithScores(RELAYS_KEY, 0, -1)) {
        if (other === relayId) continue
        try {
          if (await checkRelay(other, score)) doubtful++
        } catch (error) {
          failure ??= error
        }
      }
      return { doubtful, failure }
    },
  }
}

/** Why the search for leftover claims fails, and since when (ms). */
export type SearchFailure = { readonly sinceMs: number; readonly reason: string }

type ClaimAdoptionOptions = RelayAdoptionOptions &
  SourceTools & {
    readonly claims: Claims
    /** The lists that the relay consumes. Each asks for the claims to adopt before it takes anything newer. */
    readonly lists: readonly string[]
    readonly intake: Pick<ListIntake, 'enqueue' | 'room'>
    readonly state: { searchFailure: SearchFailure | undefined }
  }

/** How often (ms) the relay checks for claims to adopt, and how often while its lists wait for the first complete check. */
const SEARCH_MS = 4_000
const SOON_MS = 250
/** The maximum number of bytes taken at once from a list that is no longer named. */
const MAX_TAKE_BYTES = 4 * 1024 * 1024

/**
 * Adopts the claims that former processes of this relay, or other relays, left, while this process holds the relay id. It adopts each claim once,
 * list by list, in the order of their numbers. Its whole state ends with the signal.
 */
export function createClaimAdoption(options: ClaimAdoptionOptions, signal: AbortSignal) {
  const { sourceId, client, claims, lists, intake, state, log, metrics, now, lease } = options
  const relays = createRelayAdoption(options)
  const underWay = new Map<string, Promise<void>>()
  /** Lists to check again, because more claims may have appeared after the check in progress. */
  const again = new Set<string>()
  /** Resolves when it is known which other relays are gone: their claims go before anything newer. */
  const begun = Promise.withResolvers<void>()
  const unreadable = new Set<number>()
  let failing: SearchFailure | undefined
  /** Whether anything failed since the last search began. */
  let hasFailed = false

  const adoptAll = async (list: string): Promise<void> => {
    const left = (await claims.unknown()).filter((claim) => claim.list === list)
    while (left.length > 0) {
      let { items: room } = await intake.room(list, signal)
      if (signal.aborted) return
      // As many claims as there is room for, and at least one. Compacted claims hold few items each.
      let count = 0
      for (const { items } of left) {
        room -= items
        if (room < 0 && count > 0) break
        count++
      }
      for (const claim of await Promise.all(left.splice(0, count).map(({ number }) => claims.adopt(number)))) {
        if (claim === undefined) continue
        metrics.adopted.inc({ source: sourceId, transport: 'list' }, claim.items.size)
        intake.enqueue(claim)
      }
    }
  }
  const adoptWhileAsked = async (list: string): Promise<void> => {
    await begun.promise
    while (again.delete(list) && !signal.aborted) await adoptAll(list)
  }

  /** Adopts the claims of a list. Resolves when all of them are in lanes, or the signal aborts. @throws what Redis answers */
  const adopt = (list: string): Promise<void> => {
    again.add(list)
    const running = underWay.get(list) ?? adoptWhileAsked(list).finally(() => underWay.delete(list))
    underWay.set(list, running)
    return running
  }

  const findClaims = async (): Promise<void> => {
    const { doubtful, failure } = await relays.checkOthers()
    if (doubtful === 0 && failure === undefined) begun.resolve()
    const [waiting, unknown] = await Promise.all([claims.waitingLists(), claims.unknown(), reportDamage(options)])
    // Claims the items that a blocking move took from a list that is no longer named.
    for (const list of waiting)
      if (!lists.includes(list)) {
        await claims.beginGeneration(list)
        const taken = await claims.take(list, 0, MAX_TAKE_BYTES)
        if (typeof taken === 'object') intake.enqueue(taken.claim)
      }
    for (const { number: claim, list, items } of unknown) {
      if (list !== undefined || unreadable.has(claim)) continue
      unreadable.add(claim)
      log.error(
        { code: 'relay.claims.unreadable', source: sourceId, claim, items },
        'The relay cannot read a leftover claim, which stays in Redis. A newer version of the relay may have written it',
      )
    }
    // Not awaited: a list without room must not hold up the claims of others.
    for (const list of new Set(unknown.map((claim) => claim.list))) if (list !== undefined) adopt(list).catch(fail)
    if (failure !== undefined) throw failure
  }
  const fail = (error: unknown) => {
    hasFailed = true
    if (failing === undefined && client.isReady)
      log.warn(
        { code: 'relay.claims.look_failed', source: sourceId, error: describe(error) },
        'The relay could not check for leftover claims; it retries',
      )
    failing ??= { sinceMs: now(), reason: describe(error) }
  }

  return {
    adopt,
    /** Checks for claims to adopt until the signal aborts, including claims of lists that are no longer named and of relays that are gone. */
    async run(): Promise<void> {
      let isBegun = false
      void begun.promise.then(() => (isBegun = true))
      signal.addEventListener('abort', () => begun.resolve(), { once: true })
      while (!signal.aborted) {
        const hadFailed = hasFailed
        hasFailed = false
        try {
          await findClaims()
          if (!hadFailed) failing = undefined
        } catch (error) {
          fail(error)
          // Most failures pass, such as a lost connection. A server that refuses the commands must not stop the lists forever.
          if (lease.steadyMs() >= LEASE_MS) begun.resolve()
        }
        state.searchFailure = failing
        await (isBegun ? sleepToBeat(SEARCH_MS, signal) : sleep(SOON_MS, signal))
      }
      await Promise.allSettled(underWay.values())
    },
  }
}

export type ClaimAdoption = ReturnType<typeof createClaimAdoption>
