import { sleep, sleepToBeat } from '../../runtime/index.ts'
import { claimPrefix, claimsKey } from '../redis/keys.ts'
import { isUnsettled, type OpenClaim } from './open-claim.ts'
import type { Redis } from '../redis/client.ts'

export type CompactionOptions = {
  readonly client: Redis
  readonly relayId: string
  readonly open: ReadonlyMap<number, OpenClaim>
  /** Whether there is little room for more of a list. */
  readonly isShort: (list: string) => boolean
  /** Called when Redis holds fewer items of a claim than before. */
  readonly onHeld: (claim: OpenClaim, held: number) => void
  readonly now: () => number
}

/** Claims that are older (ms) are compacted: as a rule one is deleted within milliseconds. */
const OLD_MS = 1_000
/** The same for a list that has no room for more. */
const SHORT_MS = 50

const copyOf = (item: Buffer): Buffer => {
  const copy = Buffer.allocUnsafeSlow(item.length)
  item.copy(copy)
  return copy
}

/**
 * Takes what is settled out of claims whose other items wait, as for a queue that accepts nothing: else one item would keep a whole claim
 * in Redis, which a crash would send again, and its bytes in memory.
 */
export function createCompaction({ client, relayId, open, isShort, onHeld, now }: CompactionOptions) {
  const compact = async (claim: OpenClaim): Promise<void> => {
    claim.writtenMs = now()
    // A small item is a part of what came over the connection at once, and would keep all of it in memory.
    for (const [index, item] of claim.items) claim.items.set(index, copyOf(item))
    const kept = await client.compact({
      registry: claimsKey(relayId),
      claim: claimPrefix(relayId) + claim.number,
      number: claim.number,
      rest: [...claim.items.keys()],
    })
    // Redis may not know it: what is written back then is what is not settled.
    if (open.has(claim.number)) onHeld(claim, Math.max(kept, claim.items.size))
  }

  /** Compacts those of which `isDue` holds. @throws what Redis answers */
  const compactAll = async (isDue: (claim: OpenClaim) => boolean): Promise<void> => {
    const due = [...open.values()].filter(
      (claim) => isUnsettled(claim) && claim.held > claim.items.size && isDue(claim),
    )
    await Promise.all(due.map(compact))
  }

  /** Half of it at least is settled, so that each item is written again only a few times; less from time to time, where that makes room. */
  const isDue = (claim: OpenClaim): boolean => {
    const isHalf = claim.items.size * 2 <= claim.held
    const isClose = isShort(claim.list)
    return (isHalf || isClose) && Math.abs(now() - claim.writtenMs) >= (isHalf && isClose ? SHORT_MS : OLD_MS)
  }

  return {
    /** Compacts old claims until the signal aborts. */
    async run(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        const lists = new Set([...open.values()].map(({ list }) => list))
        await ([...lists].some(isShort) ? sleep(SHORT_MS, signal) : sleepToBeat(OLD_MS, signal))
        // A failure is one of the connection, and that is said by its listener; the next round tries again.
        if (client.isReady) await compactAll(isDue).catch(() => undefined)
      }
    },
    /** At the end: what is settled is not sent again by the next start. @throws what Redis answers */
    runOnce: (): Promise<void> => compactAll(() => true),
  }
}
