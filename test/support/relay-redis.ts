import { onTestFinished } from 'vitest'
import { createClaims, type ClaimsOptions } from '../../src/relay/claims.ts'
import type { Item } from '../../src/relay/item.ts'
import { createRedis } from '../../src/relay/redis.ts'
import { captureLog } from './log.ts'

/** A client as the relay makes it, with its scripts; closed when the test ends. */
export async function useRelayRedis(url: string) {
  const client = createRedis({ url, name: 'test', log: captureLog().log, reconnect: true })
  await client.connect()
  onTestFinished(() => client.destroy())
  return client
}

/** The claims of a relay on a client of their own: a second call with the same id is what the next process sees. */
export async function useClaims(url: string, options: Partial<ClaimsOptions> = {}) {
  const client = options.client ?? (await useRelayRedis(url))
  const { log } = captureLog()
  const claims = createClaims({
    client, relayId: 'test', listEnd: 'right', log, now: Date.now, onSettled: () => undefined, signal: new AbortController().signal, ...options,
  })
  return { client, claims }
}

/** All of an item that a claim looks at. */
export const itemAt = (place: number): Item => ({ id: `main/l/1/${place}`, place, route: { name: 'other' }, event: '{}' }) as unknown as Item
