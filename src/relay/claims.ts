import { MAX_WAIT_MS } from '../protocol/index.ts'
import type { Keeper } from './item.ts'
import { claimPrefix, claimsKey, NUMBER_KEY, SEEN_EMPTY_KEY, settledKey, waitingKey } from './keys.ts'
import type { Numbers } from './numbers.ts'
import type { Parking } from './parking.ts'
import { asBytes, type Redis } from './redis.ts'
import type { TakeReply } from './scripts.ts'
import { createWriteBack, isUnsettled, type OpenClaim } from './write-back.ts'

/** List items that Redis keeps for this relay until SQS has accepted them. */
export type Claim = {
  readonly number: number
  readonly list: string
  readonly takenMs: number
  readonly maxWaitMs: number
  /** In order; undefined for an item that is settled already. */
  readonly items: readonly (Buffer | undefined)[]
  readonly keeper: Keeper
}

export type ClaimsOptions = {
  readonly client: Redis
  readonly relayId: string
  readonly listEnd: 'right' | 'left'
  readonly now: () => number
  readonly numbers: Numbers
  readonly parking: Parking
  /** Called when a claim's items are all settled. */
  readonly onSettled: () => void
  /** Called with the number of claims that are not deleted yet, whenever it changes. */
  readonly onCount: (open: number) => void
}

/**
 * The claims of one source. A claim is a list of the relay's own; the item leaves the dialler's list and enters the claim in one
 * step, and the claim is deleted when all of its items are settled. What is found in Redis and not known here (a crash, or a
 * reply that was cut) is adopted: sent again, with the same ids.
 */
export function createClaims({ client, relayId, listEnd, now, numbers, parking, onSettled, onCount }: ClaimsOptions) {
  const bytes = asBytes(client)
  const registry = claimsKey(relayId)
  const prefix = claimPrefix(relayId)
  const open = new Map<number, OpenClaim>()
  const taking = new Set<Promise<unknown>>()
  let deletable: number[] = []
  let deleting: Promise<void> | undefined
  const writeBack = createWriteBack({ client, relayId, open })

  /** Settled claims are deleted together; one that Redis did not delete stays on the list for the next time. */
  const deleteSettled = async (): Promise<void> => {
    while (deletable.length > 0 && client.isReady) {
      // What is written back must not come behind its deletion.
      await writeBack.underWay()
      const batch = deletable
      deletable = []
      try {
        await Promise.all(
          batch.flatMap((number) => [
            client.del([prefix + number, settledKey(relayId, number)]),
            client.hDel(registry, String(number)),
          ]),
        )
        for (const number of batch) open.delete(number)
        onCount(open.size)
      } catch {
        deletable = [...batch, ...deletable]
        return
      }
    }
  }
  const flush = (): Promise<void> => {
    deleting ??= deleteSettled().finally(() => {
      deleting = undefined
    })
    return deleting
  }

  const settleIndex = (claim: OpenClaim, index: number) => {
    claim.settled.add(index)
    if (isUnsettled(claim)) return
    deletable.push(claim.number)
    void flush()
    onSettled()
  }

  const openClaim = (
    number: number,
    list: string,
    takenMs: number,
    wait: number,
    items: (Buffer | undefined)[],
  ): Claim => {
    const claim: OpenClaim = { number, meta: formatMeta(takenMs, wait, list), items, settled: new Set() }
    open.set(number, claim)
    onCount(open.size)
    const keeper: Keeper = {
      settle: (item) => settleIndex(claim, item.place),
      park: async (item, reason, detail) => {
        const at = { settledKey: settledKey(relayId, number), registryKey: registry, claim: number, index: item.place }
        if (await parking.park(item, reason, detail, at)) settleIndex(claim, item.place)
      },
    }
    items.forEach((item, index) => {
      if (item === undefined) claim.settled.add(index)
    })
    if (!isUnsettled(claim)) {
      deletable.push(number)
      void flush()
    }
    return { number, list, takenMs, maxWaitMs: wait < 0 ? MAX_WAIT_MS : wait, items, keeper }
  }

  return {
    /**
     * Takes from a list into a claim: what a blocking move took before, and up to `count` items. Undefined when there was nothing.
     *
     * @param lastEmptyMs when the list was last seen empty, if that is known better here than in Redis
     */
    async take(
      list: string,
      count: number,
      maxBytes: number,
      lastEmptyMs?: number,
    ): Promise<{ claim: Claim; left: number } | undefined> {
      const takenMs = now()
      const keys = [list, waitingKey(relayId, list), registry, NUMBER_KEY, SEEN_EMPTY_KEY]
      const taken = bytes
        .take(keys, [count, maxBytes, listEnd, takenMs, prefix, lastEmptyMs ?? '', numbers.least()])
        .then((reply) => {
          const [number, wait, left, items] = reply as TakeReply
          numbers.seen(number)
          return items.length === 0 ? undefined : { claim: openClaim(number, list, takenMs, wait, items), left }
        })
      taking.add(taken)
      try {
        return await taken
      } finally {
        taking.delete(taken)
      }
    },

    /** The claims in Redis that are not open here, and their lists: the oldest first. */
    async unknown(): Promise<{ readonly number: number; readonly list: string }[]> {
      const found = Object.entries(await client.hGetAll(registry))
      // A take whose reply is on its way is in Redis and not open here, but it is not left over either.
      await Promise.allSettled(taking)
      return found
        .map(([field, meta]) => ({ number: Number(field), list: parseMeta(meta)?.list }))
        .filter(
          (claim): claim is { number: number; list: string } => claim.list !== undefined && !open.has(claim.number),
        )
        .toSorted((one, other) => one.number - other.number)
    },

    /** Takes up a claim that was left: its items are to be sent again, with the same ids. */
    async adopt(number: number): Promise<Claim | undefined> {
      const [meta, items, settled] = await Promise.all([
        client.hGet(registry, String(number)),
        bytes.lRange(prefix + number, 0, -1),
        client.sMembers(settledKey(relayId, number)),
      ])
      const parsed = parseMeta(meta ?? '')
      if (parsed === undefined) return undefined
      const done = new Set(settled.map(Number))
      const left = items.map((item, index) => (done.has(index) ? undefined : item))
      return openClaim(number, parsed.list, parsed.takenMs, parsed.waitMs, left)
    },

    /** The lists for which a blocking move may have taken something that no claim has. */
    async waitingLists(): Promise<string[]> {
      const fields = await client.hKeys(registry)
      return fields.filter((field) => field.startsWith('waiting:')).map((field) => field.slice('waiting:'.length))
    },

    /** To be called before the first blocking move from a list, so that what it takes is found again. */
    async announceWaiting(list: string): Promise<void> {
      await client.announceWaiting([registry], [`waiting:${list}`])
    },

    /** Deletes what is settled; to be called again after a reconnect. */
    flush,

    /** Writes the claims that are open here and gone from Redis once more. Resolves to how many. @throws what Redis answers */
    writeBack: writeBack.run,

    /** At the end: notes in Redis which items of unfinished claims were sent, so that the next start does not send them again. */
    async leave(): Promise<void> {
      await flush()
      await writeBack.run()
      const partial = [...open.values()].filter((claim) => claim.settled.size > 0 && isUnsettled(claim))
      await Promise.all(
        partial.map((claim) =>
          client.noteSettled([settledKey(relayId, claim.number), registry], [claim.number, ...claim.settled]),
        ),
      )
    },
  }
}

export type Claims = ReturnType<typeof createClaims>

/** What the registry says of a claim; the script that takes writes the same. */
const formatMeta = (takenMs: number, waitMs: number, list: string) => `${takenMs}:${waitMs}:${list}`

/** Reads what the registry says of a claim; undefined for what is none. */
function parseMeta(
  meta: string,
): { readonly takenMs: number; readonly waitMs: number; readonly list: string } | undefined {
  const match = /^(\d+):(-?\d+):(.*)$/s.exec(meta)
  return match === null ? undefined : { takenMs: Number(match[1]), waitMs: Number(match[2]), list: match[3] as string }
}
