import { createClient } from 'redis'
import { onTestFinished } from 'vitest'
import { startRedisServer, type RedisServer, type RedisServerOptions } from '../../src/local/servers.ts'

/** Starts a redis-server, and stops it when the test ends. */
export async function useRedisServer(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await startRedisServer(options)
  onTestFinished(() => server.stop())
  return server
}

/** A connected client, closed when the test ends. */
export async function useRedisClient(url: string) {
  const client = createClient({ url, RESP: 2 })
  client.on('error', () => undefined)
  await client.connect()
  onTestFinished(() => client.destroy())
  return client
}
