import { sleep, sleepToBeat } from '../../runtime/index.ts'
import { detach } from '../item.ts'
import { shareRuns } from '../redis/redis-client.ts'
import { attemptsField, claimPrefix, claimsKey, settledKey, waitingField } from '../redis/relay-keys.ts'
import type { SourceTools } from '../source.ts'
import type { ListIntake } from './list-intake.ts'

/** The entry of a claim in the registry. The scripts write the same form. */
export type ClaimMeta = {
  readonly list: string
  readonly takenMs: number
  /** The longest (ms) that an item may have waited on the list; -1 when unknown. */
  readonly waitMs: number
  /** The indexes of the items that the claim holds; undefined for all of them. */
  readonly indexes?: readonly number[]
}

/** Formats `<taken ms>:<wait ms>@<indexes>:<list>`. A relay of a version that does not know `@` leaves such a claim alone. */
function formatMeta({ takenMs, waitMs, list, items }: OpenClaim): string {
  const indexes = [...items.keys()]
  const isWhole = indexes.every((index, at) => index === at)
  return `${takenMs}:${waitMs}${isWhole ? '' : `@${indexes.join(',')}`}:${list}`
}

/** Reads the entry of a claim in the registry. Returns undefined for anything else. */
export function parseMeta(meta: string): ClaimMeta | undefined {
  const [, taken, wait, indexes, list] = /^(\d+):(-?\d+)(?:@([\d,]+))?:(.*)$/s.exec(meta) ?? []
  if (list === undefined) return undefined
  const common = { takenMs: Number(taken), waitMs: Number(wait), list }
  return indexes === undefined ? common : { ...common, indexes: indexes.split(',').map(Number) }
}

/** The attempts of a claim's items that are past the first attempt, by index. */
export type Attempts = ReadonlyMap<number, number>

/** Formats `<index>=<attempt>,…` */
const formatAttempts = (attempts: Attempts): string =>
  [...attempts].map(([index, attempt]) => `${index}=${attempt}`).join(',')

/** Reads the text of `formatAttempts`. Ignores anything else. */
export const parseAttempts = (text = ''): Attempts =>
  new Map(
    [...text.matchAll(/(\d{1,9})=(\d{1,9})(?=,|$)/g)].map(([, index, attempt]) => [Number(index), Number(attempt)]),
  )

/** The bytes of an item. When its notification shares the bytes, the notification takes its place here, so that both release them together. */
export type Kept = { data: Uint8Array }

/** A claim that this process knows and has not deleted yet. */
export type OpenClaim = Omit<ClaimMeta, 'indexes'> & {
  readonly number: number
  /** Index → item, in order. A settled item leaves at once. */
  readonly items: Map<number, Kept>
  readonly attempts: Map<number, number>
  /** The maximum number of its items that Redis holds, and so how many are sent again after a crash. */
  held: number
  /** When (ms) it was taken, adopted or compacted. */
  writtenMs: number
}

export type OpenClaimsOptions = Pick<SourceTools, 'client' | 'now'> & {
  readonly relayId: string
  readonly intake: Pick<ListIntake, 'hold' | 'isShort'>
  /** Returns the generation of takes from a list, '' when none was begun. */
  readonly generationOf: (list: string) => string
  /** Called with the number of claims that are not deleted yet, whenever it changes. */
  readonly onCount: (open: number) => void
}

/** Claims older than this (ms) are compacted. Most are deleted within milliseconds. */
const OLD_MS = 1_000
/** The same for a list without room for more. */
const SHORT_MS = 50

/** How many claims are written back at once: together up to 16 MiB. */
const MAX_CLAIMS_AT_ONCE = 4

const isUnsettled = ({ items }: OpenClaim): boolean => items.size > 0

/**
 * Keeps the claims in Redis equal to the unsettled items that this process knows: deletes settled claims, compacts old ones, and writes back claims
 * that Redis has lost.
 */
export function createOpenClaims({ client, relayId, intake, generationOf, onCount, now }: OpenClaimsOptions) {
  const registry = claimsKey(relayId)
  const keyOf = (number: number) => claimPrefix(relayId) + number
  const open = new Map<number, OpenClaim>()
  /** Claims whose attempts are not in Redis yet. */
  const unnoted = new Set<OpenClaim>()
  let deletable: OpenClaim[] = []
  let writing: Promise<unknown> | undefined

  const hold = (claim: OpenClaim, held: number) => {
    const more = held - claim.held
    claim.held = held
    if (more !== 0) intake.hold(claim.list, more)
  }

  /** Deletes settled claims together. A claim that Redis did not delete is deleted the next time. */
  const flush = shareRuns(async (): Promise<void> => {
    while (deletable.length > 0 && client.isReady) {
      // A claim must not be written back after its deletion: node-redis sends a script again when the server does not know it yet.
      await writing
      const batch = deletable
      deletable = []
      try {
        const keys = batch.flatMap(({ number }) => [keyOf(number), settledKey(relayId, number)])
        const fields = batch.flatMap(({ number }) => [String(number), attemptsField(number)])
        await Promise.all([client.del(keys), client.hDel(registry, fields)])
        for (const claim of batch) {
          open.delete(claim.number)
          hold(claim, 0)
        }
        onCount(open.size)
      } catch {
        deletable = [...batch, ...deletable]
        return
      }
    }
  })
  const deleteIfSettled = (claim: OpenClaim) => {
    if (isUnsettled(claim)) return
    deletable.push(claim)
    void flush()
  }

  /**
   * Removes settled items from claims whose other items wait, as for a queue that accepts nothing. Otherwise one item would keep a whole claim in
   * Redis, to be sent again after a crash, and its bytes in memory. @throws what Redis answers
   */
  const compact = async (isDue: (claim: OpenClaim) => boolean): Promise<void> => {
    const compactOne = async (claim: OpenClaim): Promise<void> => {
      const { number, items } = claim
      claim.writtenMs = now()
      for (const kept of items.values()) detach(kept)
      const kept = await client.compact({ registry, claim: keyOf(number), number, rest: [...items.keys()] })
      // If Redis has lost the claim, the unsettled items are written back.
      if (open.has(number)) hold(claim, Math.max(kept, items.size))
    }
    const due = [...open.values()].filter((one) => isUnsettled(one) && one.held > one.items.size && isDue(one))
    await Promise.all(due.map(compactOne))
  }
  /** Whether at least half is settled, so that each item is rewritten only a few times. Where a list needs the room, less is enough. */
  const isDue = (claim: OpenClaim): boolean => {
    const isHalf = claim.items.size * 2 <= claim.held
    const isShort = intake.isShort(claim.list)
    return (isHalf || isShort) && Math.abs(now() - claim.writtenMs) >= (isHalf && isShort ? SHORT_MS : OLD_MS)
  }

  /** Records attempts in Redis, and retries when Redis does not accept them. */
  const noteAttempts = shareRuns(async (): Promise<void> => {
    while (unnoted.size > 0 && client.isReady) {
      // The attempts of one response are written together.
      await sleep(0)
      const claims = [...unnoted].filter(isUnsettled)
      unnoted.clear()
      try {
        const note = ({ number: claim, attempts }: OpenClaim) =>
          client.noteAttempts({ registry, claim, attempts: formatAttempts(attempts) })
        await Promise.all(claims.map(note))
      } catch {
        for (const claim of claims) unnoted.add(claim)
        return
      }
    }
  })

  const writeBack = shareRuns(async (): Promise<number> => {
    if (![...open.values()].some(isUnsettled)) return 0
    const known = new Set(await client.hKeys(registry))
    const missing = [...open.values()].filter(({ number }) => !known.has(String(number)))
    let written = 0
    for (let from = 0; from < missing.length; from += MAX_CLAIMS_AT_ONCE) {
      // Some may have been settled meanwhile.
      const some = missing.slice(from, from + MAX_CLAIMS_AT_ONCE).filter(isUnsettled)
      const answers = some.map((claim) => {
        const { number, list, items } = claim
        return client.writeBack({
          registry,
          claim: keyOf(number),
          settled: settledKey(relayId, number),
          number,
          meta: formatMeta(claim),
          field: waitingField(list),
          generation: generationOf(list),
          rest: [...items.values()].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.length)),
        })
      })
      writing = Promise.allSettled(answers)
      for (const answer of await Promise.all(answers)) written += answer
      for (const claim of some) if (claim.attempts.size > 0) unnoted.add(claim)
    }
    void noteAttempts()
    return written
  })

  return {
    has: (number: number): boolean => open.has(number),
    /** Opens a claim of which Redis holds this many items. Returns functions that settle one of them and keep its attempt. */
    add(found: Omit<OpenClaim, 'attempts' | 'held' | 'writtenMs'>, held: number, attempts: Attempts = new Map()) {
      const claim: OpenClaim = { ...found, attempts: new Map(attempts), held: 0, writtenMs: now() }
      open.set(claim.number, claim)
      onCount(open.size)
      hold(claim, held)
      deleteIfSettled(claim)
      return {
        settle: (index: number): void => {
          claim.attempts.delete(index)
          if (claim.items.delete(index)) deleteIfSettled(claim)
        },
        keepAttempt: (index: number, attempt: number): void => {
          claim.attempts.set(index, attempt)
          unnoted.add(claim)
          void noteAttempts()
        },
      }
    },
    /** Deletes settled claims. Call it again after a reconnect. */
    flush,
    /**
     * Writes back claims that Redis has lost, with their numbers, and so with the ids of their items. Resolves with the number of claims. @throws
     * what Redis answers
     */
    writeBack,
    /** Compacts old claims until the signal aborts. */
    run: async (signal: AbortSignal): Promise<void> => {
      while (!signal.aborted) {
        const lists = new Set([...open.values()].map(({ list }) => list))
        await ([...lists].some(intake.isShort) ? sleep(SHORT_MS, signal) : sleepToBeat(OLD_MS, signal))
        // The listener of the connection logs failures, and the next round retries.
        if (client.isReady) await compact(isDue).catch(() => undefined)
        void noteAttempts()
      }
    },
    /** Removes sent items from unfinished claims when the relay stops, so that the next start does not send them again. @throws what Redis answers */
    finish: async (): Promise<void> => {
      await flush()
      await writeBack()
      await noteAttempts()
      await compact(() => true)
    },
  }
}
