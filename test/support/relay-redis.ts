import { onTestFinished } from 'vitest'
import { createClaims, type Claim, type ClaimsOptions } from '../../src/relay/lists/claims.ts'
import type { Item } from '../../src/relay/item.ts'
import { createMetrics } from '../../src/relay/metrics.ts'
import type { Notice } from '../../src/relay/notice.ts'
import { createNumbers } from '../../src/relay/redis/relay-keys.ts'
import { createParking } from '../../src/relay/parking/parking.ts'
import { createRedis } from '../../src/relay/redis/redis-client.ts'
import { captureLog } from './log.ts'

/** Connects a client as the relay creates it, with its scripts. Closes it when the test ends. */
export async function useRelayRedis(url: string) {
  const client = createRedis({ url, name: 'test', log: captureLog().log, reconnect: true })
  await client.connect()
  onTestFinished(() => client.destroy())
  return client
}

/** Creates the claims of a relay with a separate client. A second call with the same relay id acts like the relay's next process. */
export async function useClaims(
  url: string,
  options: Partial<ClaimsOptions> & { readonly announce?: (notice: Notice) => Promise<void> } = {},
) {
  const client = options.client ?? (await useRelayRedis(url))
  const { log } = captureLog()
  const now = options.now ?? Date.now
  const relayId = options.relayId ?? 'test'
  const numbers = createNumbers({ client, now })
  const notices: Notice[] = []
  const parking = createParking({
    sourceId: 'main',
    client,
    numbers,
    log,
    now,
    relayId,
    signal: new AbortController().signal,
    most: 1_000,
    file: '/nonexistent/parked.jsonl',
    metrics: createMetrics(),
    announce: options.announce ?? ((notice) => Promise.resolve(void notices.push(notice))),
  })
  const claims = createClaims({
    client,
    relayId,
    holder: '',
    listEnd: 'right',
    now,
    numbers,
    parking,
    intake: { hold: () => undefined, isShort: () => false },
    onCount: () => undefined,
    ...options,
  })
  const begun = new Map<string, Promise<void>>()
  /** Takes items from a list. Begins the list's generation before the first take. @throws if the take was fenced */
  const take = async (list: string, count: number, maxBytes: number) => {
    const generation = begun.get(list) ?? claims.beginGeneration(list)
    begun.set(list, generation)
    await generation
    const taken = await claims.take(list, count, maxBytes)
    if (taken === 'fenced') throw new Error('the take was fenced')
    return taken
  }
  return { client, claims: { ...claims, take, takeAsIs: claims.take.bind(claims) }, notices }
}

/** The items of a claim that are not settled, by their index. */
export const itemsOf = (claim: Claim | undefined): Map<number, Buffer> =>
  new Map([...(claim?.items ?? [])].map(([index, { data }]) => [index, Buffer.from(data)]))

/** Returns the same items as text. */
export const textsOf = (claim: Claim | undefined): string[] => [...itemsOf(claim).values()].map(String)

/** Creates an item with only the fields that a claim reads. */
export const itemAt = (position: number): Item =>
  ({
    id: `main/l/1/${position}`,
    position,
    route: { name: 'other' },
    head: '{}',
    data: undefined,
    bytes: 2,
    receivedMs: 0,
  }) as unknown as Item
