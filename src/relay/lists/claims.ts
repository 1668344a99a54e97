import { MAX_WAIT_MS } from '../../protocol/index.ts'
import { RelayError } from '../relay-error.ts'
import type { Acknowledger } from '../item.ts'
import type { Parking } from '../parking/parking.ts'
import { asBytes } from '../redis/redis-client.ts'
import {
  attemptsField,
  claimPrefix,
  claimsKey,
  leaseKey,
  settledKey,
  WAITING_FIELD,
  waitingField,
  waitingKey,
  type TakeReply,
  type Numbers,
} from '../redis/relay-keys.ts'
import {
  createOpenClaims,
  parseAttempts,
  parseMeta,
  type Attempts,
  type ClaimMeta,
  type OpenClaim,
  type OpenClaimsOptions,
} from './open-claims.ts'

/** List items that Redis keeps for this relay until their target has accepted them. */
export type Claim = Pick<OpenClaim, 'number' | 'list' | 'takenMs' | 'items'> & {
  readonly maxWaitMs: number
  readonly acknowledger: Acknowledger
  /** The attempts that an earlier process recorded for the items; undefined when this process took them. */
  readonly former: Attempts | undefined
}

/** A claim, and how many items the list has left; undefined when there was nothing to take; `fenced` when another generation has begun. */
export type Taken = { readonly claim: Claim; readonly left: number } | undefined | 'fenced'

/**
 * A claim in Redis that is not open in this process, and how many items it holds. `list` is undefined when this version cannot read its entry in the
 * registry.
 */
type UnknownClaim = { readonly number: number; readonly list: string | undefined; readonly items: number }

export type ClaimsOptions = Omit<OpenClaimsOptions, 'generationOf'> & {
  /** The value of the lease while this process holds the relay id. */
  readonly holder: string
  readonly listEnd: 'right' | 'left'
  readonly numbers: Numbers
  readonly parking: Parking
}

/**
 * Creates the claims of one source. A claim is a list of the relay's own. Items leave the dialler's list and enter the claim in one step, and the
 * claim is deleted when all of them are settled. A claim in Redis that this process does not know (after a crash, or a lost reply) is adopted: its
 * items are sent again, with the same ids.
 */
export function createClaims(options: ClaimsOptions) {
  const { client, relayId, holder, listEnd, now, numbers, parking } = options
  const bytes = asBytes(client)
  const registry = claimsKey(relayId)
  const prefix = claimPrefix(relayId)
  const generations = new Map<string, string>()
  const taking = new Set<Promise<unknown>>()
  const generationOf = (list: string): string => generations.get(list) ?? ''
  const open = createOpenClaims({ ...options, generationOf })

  const openClaim = (
    number: number,
    meta: ClaimMeta,
    items: Claim['items'],
    held: number,
    former?: Attempts,
  ): Claim => {
    const { list, takenMs, waitMs } = meta
    const { settle, keepAttempt } = open.add({ number, list, takenMs, waitMs, items }, held, former)
    const acknowledger: Acknowledger = {
      settle: ({ position }) => settle(position),
      park: async (item, reason, detail) => {
        const at = { settled: settledKey(relayId, number), registry, claim: number, index: item.position }
        if (await parking.park(item, reason, detail, at)) settle(item.position)
      },
      keepAttempt: ({ position, attempt }) => keepAttempt(position, attempt),
    }
    return { number, list, takenMs, maxWaitMs: waitMs < 0 ? MAX_WAIT_MS : waitMs, items, acknowledger, former }
  }

  return {
    /**
     * Begins a generation of takes from a list: a take that was sent before and reaches Redis later takes nothing. Also records the list's name, so
     * that items taken from it by a blocking move are found again. @throws RelayError when another process holds the relay id
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

    /** Takes the items of an earlier blocking move, and up to `count` items of the list, into a claim. Only the last item may exceed `maxBytes`. */
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
          leastNumber: numbers.lowerBound(),
          generation: generationOf(list),
        })
        .then((reply): Taken => {
          const [number, waitMs, left, items] = reply as TakeReply
          if (number < 0) return 'fenced'
          numbers.noteUsed(number)
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
      // A take whose reply is still on its way is in Redis and not open here yet, but it is not a leftover.
      await Promise.allSettled(taking)
      const left = found
        .filter(([field]) => /^\d+$/.test(field) && !open.has(Number(field)))
        .map(([field, meta]) => ({ number: Number(field), list: parseMeta(meta)?.list }))
        .toSorted((one, other) => one.number - other.number)
      return Promise.all(left.map(async (claim) => ({ ...claim, items: await client.lLen(prefix + claim.number) })))
    },

    /** Opens a claim that an earlier process left: its items are sent again, with the same ids. */
    async adopt(number: number): Promise<Claim | undefined> {
      const [meta, attempts, items, settled] = await Promise.all([
        client.hGet(registry, String(number)),
        client.hGet(registry, attemptsField(number)),
        bytes.lRange(prefix + number, 0, -1),
        client.sMembers(settledKey(relayId, number)),
      ])
      const parsed = parseMeta(meta ?? '')
      if (parsed === undefined) return undefined
      const left = new Map(items.map((data, at) => [parsed.indexes?.[at] ?? at, { data }] as const))
      for (const index of settled) left.delete(Number(index))
      return openClaim(number, parsed, left, items.length, parseAttempts(attempts ?? ''))
    },

    /** Returns the lists from which a blocking move may have taken items that are in no claim. */
    async waitingLists(): Promise<string[]> {
      const fields = await client.hKeys(registry)
      return fields.filter((field) => field.startsWith(WAITING_FIELD)).map((field) => field.slice(WAITING_FIELD.length))
    },

    flush: open.flush,
    run: open.run,
    writeBack: open.writeBack,
    finish: open.finish,
  }
}

export type Claims = ReturnType<typeof createClaims>
