import { onTestFinished } from 'vitest'
import { startUpstashProxy, type UpstashProxyOptions } from '../../src/local/upstash-proxy.ts'
import { createStore, type StoreOptions } from '../../src/store/index.ts'
import { useRedisServer } from './redis.ts'

/** Creates a store with the Upstash proxy and a real Redis, and stops them when the test ends. */
export async function useStore(
  options: Partial<StoreOptions> & { readonly proxy?: Partial<UpstashProxyOptions> } = {},
) {
  const redis = await useRedisServer()
  const { proxy: proxyOptions, ...storeOptions } = options
  const proxy = await startUpstashProxy({ redisUrl: redis.url, token: 'test-token', ...proxyOptions })
  onTestFinished(() => proxy.stop())
  const store = createStore({ url: proxy.url, token: 'test-token', ...storeOptions })
  return { store, proxy, redis }
}
