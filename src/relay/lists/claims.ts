import { MAX_WAIT_MS } from '../../protocol/index.ts'
import { RelayError } from '../errors.ts'
import type { Keeper } from '../item.ts'
import type { ListIntake } from './list-intake.ts'
import { claimPrefix, claimsKey, leaseKey, settledKey, WAITING_FIELD, waitingField, waitingKey } from '../redis/keys.ts'
import type { Numbers } from '../redis/numbers.ts'
import { createOpenClaims, parseMeta, type ClaimMeta, type Kept } from './open-claims.ts'
import type { Parking } from '../parking/parking.ts'
import { asBytes, type Redis } from '../redis/client.ts'
import type { TakeReply } from '../redis/scripts.ts'

/** List items that Redis keeps for this relay until SQS has accepted them. */
export type Claim = {
  readonly number: number
  readonly list: string
  readonly takenMs: number
  readonly maxWaitMs: number
  /** Index → item, in order. A settled item leaves at once. */
  readonly items: Map<number, Kept>
  readonly keeper: Keeper
}

/** A claim, and how many items the list has left; undefined when there was nothing to take; `fenced` when another generation has begun. */
export type Taken = { readonly claim: Claim; readonly left: number } | undefined | 'fenced'

/** A claim in Redis that is not open here, and how many items it holds. `list` is undefined when this version cannot read its entry in the registry. */
export type UnknownClaim = { readonly number: number; readonly list: string | undefined; readonly items: number }

export type ClaimsOptions = {
  readonly client: Redis
  readonly relayId: string
  /** The value of the lease while this process holds the relay id. */
  readonly holder: string
  readonly listEnd: 'right' | 'left'
  readonly now: () => number
  readonly numbers: Numbers
  readonly parking: Parking
  readonly intake: Pick<ListIntake, 'hold' | 'isShort'>
  /** Called with the number of claims that are not deleted yet, whenever it changes. */
  readonly onCount: (open: number) => void
}

/**
 * The claims of one source. A claim is a list of the relay's own. Items leave the dialler's list and enter the claim in one step, and the
 * claim is deleted when all of them are settled. A claim in Redis that is not known here (after a crash, or a reply that was cut) is
 * adopted: its items are sent again, with the same ids.
 */
export function createClaims(options: ClaimsOptions) {
  const { client, relayId, holder, listEnd, now, numbers, parking, intake, onCount } = options
  const bytes = asBytes(client)
  const registry = claimsKey(relayId)
  const prefix = claimPrefix(relayId)
  const generations = new Map<string, string>()
  const taking = new Set<Promise<unknown>>()
  const generationOf = (list: string): string => generations.get(list) ?? ''
  const open = createOpenClaims({ client, relayId, intake, generationOf, onCount, now })

  const openClaim = (number: number, meta: ClaimMeta, items: Map<number, Kept>, held: number): Claim => {
    const { list, takenMs, waitMs } = meta
    const settle = open.add({ number, list, takenMs, waitMs, items }, held)
    const keeper: Keeper = {
      settle: (item) => settle(item.place),
      park: async (item, reason, detail) => {
        const at = { settled: settledKey(relayId, number), registry, claim: number, index: item.place }
        if (await parking.park(item, reason, detail, at)) settle(item.place)
      },
    }
    return { number, list, takenMs, maxWaitMs: waitMs < 0 ? MAX_WAIT_MS : waitMs, items, keeper }
  }

  return {
    /**
     * Begins a generation of takes from a list: a take that was sent before and reaches Redis later takes nothing. Also names the list, so
     * that what a blocking move takes from it is found again. @throws RelayError when another process holds the relay id
     */
    async beginGeneration(list: string): Promise<void> {
      const generation = await client.beginGeneration({
        registry,
        lease: leaseKey(relayId),
        field: waitingField(list),
        least: Math.max(now(), Number(generationOf(list)) + 1),
        holder,
      })
      if (generation === '')
        throw new RelayError('relay.lease.taken', 'another process holds this ENIGMA_RELAY_ID: give each relay its own')
      generations.set(list, generation)
    },

    /** Takes items into a claim: what a blocking move took before, and up to `count` items of the list, up to `maxBytes` and one item. */
    async take(list: string, count: number, maxBytes: number): Promise<Taken> {
      const takenMs = now()
      const taken = bytes
        .take({
          list,
          waiting: waitingKey(relayId, list),
          registry,
          count,
          maxBytes,
          listEnd,
          nowMs: takenMs,
          claimPrefix: prefix,
          leastNumber: numbers.least(),
          generation: generationOf(list),
        })
        .then((reply): Taken => {
          const [number, waitMs, left, items] = reply as TakeReply
          if (number < 0) return 'fenced'
          numbers.seen(number)
          if (items.length === 0) return undefined
          const kept = new Map(items.map((data, index) => [index, { data }]))
          return { claim: openClaim(number, { list, takenMs, waitMs }, kept, items.length), left }
        })
      taking.add(taken)
      try {
        return await taken
      } finally {
        taking.delete(taken)
      }
    },

    /** Returns the claims in Redis that are not open here, the oldest first. */
    async unknown(): Promise<UnknownClaim[]> {
      const found = Object.entries(await client.hGetAll(registry))
      // A take whose reply is on its way is in Redis and not open here yet, but it is no leftover.
      await Promise.allSettled(taking)
      const left = found.flatMap(([field, meta]) => {
        const number = /^\d+$/.test(field) ? Number(field) : undefined
        return number === undefined || open.has(number) ? [] : [{ number, list: parseMeta(meta)?.list }]
      })
      return (
        await Promise.all(left.map(async (claim) => ({ ...claim, items: await client.lLen(prefix + claim.number) })))
      ).toSorted((one, other) => one.number - other.number)
    },

    /** Opens a claim that was left over: its items are sent again, with the same ids. */
    async adopt(number: number): Promise<Claim | undefined> {
      const [meta, items, settled] = await Promise.all([
        client.hGet(registry, String(number)),
        bytes.lRange(prefix + number, 0, -1),
        client.sMembers(settledKey(relayId, number)),
      ])
      const parsed = parseMeta(meta ?? '')
      if (parsed === undefined) return undefined
      const { indexes = [...items.keys()] } = parsed
      const done = new Set(settled.map(Number))
      const left = items
        .map((data, at): [number, Kept] => [indexes[at] ?? at, { data }])
        .filter(([index]) => !done.has(index))
      return openClaim(number, parsed, new Map(left), items.length)
    },

    /** Returns the lists from which a blocking move may have taken something that no claim has. */
    async waitingLists(): Promise<string[]> {
      const fields = await client.hKeys(registry)
      return fields.filter((field) => field.startsWith(WAITING_FIELD)).map((field) => field.slice(WAITING_FIELD.length))
    },

    flush: open.flush,
    run: open.run,
    writeBack: open.writeBack,
    leave: open.leave,
  }
}

export type Claims = ReturnType<typeof createClaims>
