import type { Logger } from '../runtime/index.ts'
import { claimPrefix, claimsKey, leaseKey, NUMBER_KEY, RELAYS_KEY, waitingPrefix } from './keys.ts'
import type { Numbers } from './numbers.ts'
import type { Redis } from './redis.ts'

export type AdoptionOptions = {
  readonly client: Redis
  readonly relayId: string
  readonly numbers: Numbers
  readonly log: Logger
  readonly now: () => number
}

/** A relay that was not seen for this long, and left nothing, is no longer looked for. */
const FORGET_MS = 24 * 60 * 60 * 1000

/**
 * Moves what other relays left into this one's registry: those whose lease has run out. Resolves to how many claims were moved; they
 * keep their numbers, and so their items their ids. A relay that was only asleep sends what it has in memory as well: copies.
 */
export async function adoptFromOthers({ client, relayId, numbers, log, now }: AdoptionOptions): Promise<number> {
  let moved = 0
  for (const other of await client.zRange(RELAYS_KEY, 0, -1)) {
    if (other === relayId) continue
    const claims = await client.adoptFrom(
      [leaseKey(other), claimsKey(other), claimsKey(relayId), NUMBER_KEY, RELAYS_KEY],
      [
        claimPrefix(other),
        claimPrefix(relayId),
        waitingPrefix(other),
        now(),
        numbers.least(),
        other,
        now() - FORGET_MS,
      ],
    )
    if (claims <= 0) continue
    log.warn(
      { code: 'relay.claims.adopted', relayId: other, claims },
      'Adopted the claims of another relay, whose lease has expired; their items are sent again with the same ids',
    )
    moved += claims
  }
  return moved
}
