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
  /** Relays that left something, as far as could be read, and may live or not: nobody knows yet. */
  readonly doubtful: number
  /** What Redis answered for one relay; the others were looked at all the same. */
  readonly failure: unknown
}

/** A relay that was not seen for this long, and left nothing, is no longer looked for. */
const FORGET_MS = 24 * 60 * 60 * 1000

/**
 * Moves what other relays left into this one's registry; they keep their numbers, and so their items their ids. A relay is gone when
 * it gave its lease back, when this process has its journal, or when its lease was not renewed while this one could renew its own for as
 * long as a lease lasts: before that its lease may only have run out with the server, the network, or a server that refused writes. One
 * that was merely asleep sends what it has in memory as well: copies.
 */
export function createAdoption({ client, relayId, numbers, log, now, lease }: AdoptionOptions) {
  /** When the lease of each relay had last been renewed when it was first looked at: by its own clock, so only good for comparing. */
  const renewed = new Map<string, number>()

  /** Relays that were gone by their journal. One that holds a lease again lives: its journal, or ours, is a copy. */
  const proven = new Set<string>()

  /** Resolves with whether nothing is known yet, since our own lease had run out as well. */
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

  /** Resolves with whether it is in doubt. */
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
    /** Looks at all other relays once, and adopts what those left that are gone. @throws what Redis answers */
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
