import { createStore, type Effect, type StoreEvent, type StoreOptions } from 'enigma-relay/store'
import { onTestFinished } from 'vitest'
import { createApi, type ApiOptions } from '../../src/api/index.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import { useRedisServer } from '../support/redis.ts'

export const TOKEN = 'api-token-of-the-test-of-32-characters'
export const AUTH = { authorization: `Bearer ${TOKEN}` }

/** The read API over a real store, behind the proxy, on a separate redis-server. */
export async function useApi({
  store: storeOptions,
  ...options
}: Partial<ApiOptions> & { store?: Partial<StoreOptions> } = {}) {
  const redis = await useRedisServer()
  const proxy = await startUpstashProxy({ redisUrl: redis.url, token: 'store-token' })
  onTestFinished(() => proxy.stop())
  const store = createStore({ url: proxy.url, token: 'store-token', ...storeOptions })
  const lines: object[] = []
  const app = createApi({ read: store.read, token: TOKEN, log: (line) => void lines.push(line), ...options })
  const get = async (path: string, headers: Record<string, string> = {}) =>
    app.request(path, { headers: { ...AUTH, ...headers } })
  return {
    app,
    store,
    proxy,
    redis,
    lines,
    get,
    /** Returns the body of an answer. Throws if the status is not 200. */
    json: async <Answer>(path: string): Promise<Answer> => {
      const response = await get(path)
      const body: unknown = await response.json()
      if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${JSON.stringify(body)}`)
      return body as Answer
    },
    commit: async (...effects: Effect[]) => store.commit({ effects, done: new Map() }),
  }
}

let heard = 0

/** A notification as a handler sees it, each later than the one before. */
export function notice<Payload>(payload: Payload, own: Partial<StoreEvent> = {}): StoreEvent<Payload> {
  const index = ++heard
  const timeMs = own.timeMs ?? Date.now() - 600_000 + index
  return {
    id: `main/p/1/${index}`,
    source: 'main',
    type: 'agents',
    subType: 'status',
    time: new Date(timeMs).toISOString(),
    timeMs,
    transport: 'pubsub',
    channel: 'enigma:notifications:agents:1002',
    sequence: String(index).padStart(16, '0'),
    stale: false,
    data: JSON.stringify({ payload }),
    ...own,
    payload,
  }
}
