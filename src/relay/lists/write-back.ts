import { claimPrefix, claimsKey, settledKey, waitingField } from '../redis/keys.ts'
import { formatMeta, isUnsettled, type OpenClaim } from './open-claim.ts'
import type { Redis } from '../redis/client.ts'

export type WriteBackOptions = {
  readonly client: Redis
  readonly relayId: string
  readonly open: ReadonlyMap<number, OpenClaim>
  /** The generation of takes from a list, '' when none was announced. */
  readonly generationOf: (list: string) => string
}

/** Whether each item is at its index. */
const isWhole = (items: ReadonlyMap<number, Buffer>): boolean => [...items.keys()].every((index, at) => index === at)

/** Claims that are written at once: together up to 16 MiB. */
const CLAIMS_AT_ONCE = 4

/**
 * Writes claims that Redis has lost once more, with their numbers, and so with the ids of their items: a server that came back empty, or
 * as it was some time ago, has none of what memory has. Until it is written the only copy is here.
 */
export function createWriteBack({ client, relayId, open, generationOf }: WriteBackOptions) {
  const registry = claimsKey(relayId)
  let writing: Promise<unknown> | undefined
  let running: Promise<number> | undefined

  const write = (claim: OpenClaim): Promise<number> => {
    const { number, list, items } = claim
    return client.writeBack({
      registry,
      claim: claimPrefix(relayId) + number,
      settled: settledKey(relayId, number),
      number,
      meta: formatMeta(isWhole(items) ? claim : { ...claim, indexes: [...items.keys()] }),
      field: waitingField(list),
      generation: generationOf(list),
      rest: [...items.values()],
    })
  }

  const writeMissing = async (): Promise<number> => {
    if (![...open.values()].some(isUnsettled)) return 0
    const known = new Set(await client.hKeys(registry))
    const missing = [...open.values()].filter(({ number }) => !known.has(String(number)))
    let written = 0
    for (let from = 0; from < missing.length; from += CLAIMS_AT_ONCE) {
      // Some may have been settled since.
      const answers = missing
        .slice(from, from + CLAIMS_AT_ONCE)
        .filter(isUnsettled)
        .map(write)
      writing = Promise.allSettled(answers)
      for (const answer of await Promise.all(answers)) written += answer
    }
    return written
  }

  return {
    /** Resolves to how many claims were gone and are there again. @throws what Redis answers */
    run: (): Promise<number> => {
      running ??= writeMissing().finally(() => {
        running = undefined
      })
      return running
    },
    /**
     * Resolves when nothing is being written; what is settled meanwhile is to be deleted after that. A script may go twice, since the
     * server has to learn it first, and would then come behind a deletion.
     */
    underWay: async (): Promise<void> => {
      await writing
    },
  }
}
