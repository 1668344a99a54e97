import { createClient } from 'redis'
import { startRedisServer } from '../src/local/servers.ts'
import { startUpstashProxy } from '../src/local/upstash-proxy.ts'
import type { Release } from '../src/runtime/index.ts'

export const TOKEN = 'bench-token-of-32-characters-000'

/**
 * Starts a read model: Redis, a client of it, and the Upstash proxy.
 *
 * @param isEnforcing whether the proxy checks Upstash's limits, which takes longer than most commands
 */
export async function startReadModel(release: Release, isEnforcing: boolean) {
  const redis = await startRedisServer()
  release(redis.stop)
  const client = await createClient({ url: redis.url, RESP: 2 }).connect()
  release(() => client.destroy())
  const proxy = await startUpstashProxy({ redisUrl: redis.url, token: TOKEN, isEnforcing })
  release(() => proxy.stop())
  return { redis, client, proxy }
}

/**
 * Counts the commands that a Redis behind the local proxy has run, including those in scripts, as Upstash counts them. The proxy's own checks of
 * names and sizes are not counted. @param info the reply to `INFO commandstats`
 */
export function countCommands(info: string): number {
  return [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
    .filter(([, name = '']) => !OF_THE_PROXY.test(name))
    .reduce((sum, [, , calls]) => sum + Number(calls), 0)
}
const OF_THE_PROXY = /^(?:eval|info|memory\|usage|client\|.*|hello|select|scan|flushdb|config\|.*)$/
