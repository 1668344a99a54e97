import { setTimeout as sleep } from 'node:timers/promises'
import { startRedisServer, type RedisServer, type RedisServerOptions } from '../../src/local/redis-server.ts'

/** Starts it anew on the port that it had, which some connection may have got meanwhile for a moment. */
export async function restartRedisServer(options: RedisServerOptions & { readonly port: number }): Promise<RedisServer> {
  for (let tries = 1; ; tries++) {
    const server = await startRedisServer(options)
    if (server.port === options.port) return server
    await server.stop()
    if (tries === 50) throw new Error(`port ${options.port} is not free again`)
    await sleep(100)
  }
}
