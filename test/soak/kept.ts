import { formatId, parseEvents, type Notification } from '../../src/protocol/index.ts'
import { claimPrefix, claimsKey, PARKED_KEY, settledKey, waitingPrefix } from '../../src/relay/redis/relay-keys.ts'
import { parseMeta } from '../../src/relay/lists/open-claims.ts'
import type { DiallerClient } from './dialler-redis.ts'
import { LIST_OF } from './packets.ts'
import type { RelayName } from './relays.ts'

/** Reads the relay's parked list: each event, and the reason why it was parked. */
export async function readParked(client: DiallerClient): Promise<{ event: Notification; reason: string }[]> {
  const entries = await client.lRange(PARKED_KEY, 0, -1)
  // Reads the event's original text, because parsing it and formatting it again could change its bytes.
  return entries.flatMap((entry) =>
    parseEvents(entry.slice(entry.indexOf(',"event":') + ',"event":'.length, -1)).map((event) => ({
      event,
      reason: (JSON.parse(entry) as { reason: string }).reason,
    })),
  )
}

/** A claim in Redis, with the items that are not settled. */
export type KeptClaim = {
  readonly relay: RelayName
  readonly number: string
  readonly list: string
  readonly takenMs: number
  readonly items: readonly string[]
  readonly ids: readonly string[]
}

/** Reads everything in a Redis that is not settled: items that are in no claim, and claims. */
export async function readKept(client: DiallerClient): Promise<{ untaken: string[]; claims: KeptClaim[] }> {
  const lists: string[][] = []
  const claims: KeptClaim[] = []
  for (const list of Object.values(LIST_OF)) lists.push(await client.lRange(list, 0, -1))
  for (const relay of ['first', 'second'] as const) {
    for (const list of Object.values(LIST_OF)) lists.push(await client.lRange(waitingPrefix(relay) + list, 0, -1))
    for (const [number, meta] of Object.entries(await client.hGetAll(claimsKey(relay)))) {
      const claim = parseMeta(meta)
      if (claim === undefined) continue
      const settled = new Set(await client.sMembers(settledKey(relay, Number(number))))
      const items = await client.lRange(claimPrefix(relay) + number, 0, -1)
      const { list, takenMs, indexes = [...items.keys()] } = claim
      const left = [...items.keys()].filter((at) => !settled.has(String(indexes[at])))
      claims.push({
        relay,
        number,
        list,
        takenMs,
        items: left.map((at) => items[at] as string),
        ids: left.map((at) => formatId('main', 'list', Number(number), indexes[at] ?? at)),
      })
    }
  }
  return { untaken: lists.flat(), claims }
}

/** Counts the work left in Redis: items on lists, claims, and `waiting` lists. */
export async function countKept(client: DiallerClient): Promise<number> {
  const kept = await Promise.all([client.keys('enigma:relay:claim:*'), client.keys('enigma:relay:waiting:*')])
  const waiting = await Promise.all(Object.values(LIST_OF).map((list) => client.lLen(list)))
  return kept.flat().length + waiting.reduce((sum, length) => sum + length, 0)
}
