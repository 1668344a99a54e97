import { mkdir } from 'node:fs/promises'
import { startRedisServer, type RedisServer } from '../redis-server.ts'
import type { Release } from '../../runtime/index.ts'
import type { DataDir } from './data-dir.ts'
import { StreetError } from '../errors.ts'

export type OwnRedisOptions = {
  readonly folder: string
  /** Default: any free one. */
  readonly port?: number
  readonly dataDir: DataDir
  readonly release: Release
}

/** A redis-server of the street's own, which keeps its data between runs and never outlives this process. @throws StreetError `dev.redis.not_started` */
export async function startOwnRedis({ folder, port = 0, dataDir, release }: OwnRedisOptions): Promise<RedisServer> {
  await mkdir(folder, { recursive: true })
  const server = await startRedisServer({ port, dataDir: folder, ownGroup: true }).catch((cause: unknown) => {
    const words = cause instanceof Error ? cause.message || cause.name : String(cause)
    throw new StreetError(
      'dev.redis.not_started',
      `${words}; install redis-server, or name one that runs by REDIS_URL=redis://host:port`,
      { cause },
    )
  })
  // Also when the process ends by an error, or by a second Ctrl-C: nothing asynchronous runs then.
  const endAtOnce = () => void server.process.kill('SIGTERM')
  process.once('exit', endAtOnce)
  release(async () => {
    process.off('exit', endAtOnce)
    await server.stop()
  })
  if (server.process.pid !== undefined) await dataDir.noteChild(server.process.pid)
  return server
}
