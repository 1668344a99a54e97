import type { Logger } from '../../runtime/index.ts'
import { claimPrefix, claimsKey, leaseKey, RELAYS_KEY, waitingPrefix } from '../redis/keys.ts'
import { LEASE_MS, type Lease } from '../redis/lease.ts'
import type { Numbers } from '../redis/numbers.ts'
import type { Redis } from '../redis/client.ts'
import { UNLEASED } from '../redis/scripts.ts'

export type AdoptionOptions = {
  readonly client: Redis
  readonly relayId: string
  readonly numbers: Numbers
  readonly log: Logger
  readonly now: () => number
  /** This relay's own. */
  readonly lease: Pick<Lease, 'holder' | 'steadyMs' | 'hasOurJournal'>
}

export type Look = {
  /** How many relays with leftovers may still be running. */
  readonly doubtful: number
  /** The first error; the other relays were checked all the same. */
  readonly failure: unknown
}

/** A relay that left nothing and was not seen for this long (ms) is forgotten. */
const FORGET_MS = 24 * 60 * 60 * 1000

/**
 * Adopts the claims of relays that are gone: moves them into this relay's registry. They keep their numbers, so their items keep their ids.
 * A relay is gone when it released its lease, when this process holds its journal, or when nobody renewed its lease for as long as a lease
 * lasts while this relay could renew its own. Before that, its lease may have expired only because the server or the network was away, or
 * refused writes. A relay that was merely suspended sends the items in its memory too: copies.
 */
export function createAdoption({ client, relayId, numbers, log, now, lease }: AdoptionOptions) {
  /** When the lease of each relay was last renewed at the first check: by the clock of that relay, so good only for comparing. */
  const renewed = new Map<string, number>()

  /** Relays whose journal we hold. One that takes a lease again is running: one of the two journals is a copy. */
  const proven = new Set<string>()

  /** Resolves with true when nothing is known yet, because our own lease had expired too. */
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
      leastNumber: numbers.least(),
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

  /** Resolves with true while the relay has leftovers and may still be running. */
  const lookAt = async (other: string, score: number): Promise<boolean> => {
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
    /** Checks all other relays once, and adopts the claims of those that are gone. @throws what Redis answers */
    async look(): Promise<Look> {
      let doubtful = 0
      let failure: unknown
      for (const { value: other, score } of await client.zRangeWithScores(RELAYS_KEY, 0, -1)) {
        if (other === relayId) continue
        try {
          if (await lookAt(other, score)) doubtful++
        } catch (error) {
          failure ??= error
        }
      }
      return { doubtful, failure }
    },
  }
}
