import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Release } from '../../runtime/index.ts'
import { startUpstashProxy } from '../upstash-proxy.ts'
import type { DataDir } from './data-dir.ts'
import { StreetError } from '../errors.ts'
import { startOwnRedis } from './own-redis.ts'

export type ReadModelOptions = {
  readonly folder: string
  readonly dataDir: DataDir
  /** Used when no redis-server can be started. */
  readonly redisUrl: string | undefined
  readonly release: Release
}

/** Where the read model is: what `UPSTASH_REDIS_REST_URL` and `UPSTASH_REDIS_REST_TOKEN` are for a deployed one. */
export type ReadModel = { readonly url: string; readonly token: string }

/** A Redis of its own behind the proxy that speaks as Upstash does. */
export async function startReadModel({ folder, dataDir, redisUrl, release }: ReadModelOptions): Promise<ReadModel> {
  const modelUrl = await startOwnRedis({ folder: join(folder, 'model'), dataDir, release }).then(
    ({ url }) => url,
    (error: unknown) => {
      if (error instanceof StreetError && redisUrl !== undefined) return nextDatabase(redisUrl)
      throw error
    },
  )
  const token = randomBytes(24).toString('base64url')
  const proxy = await startUpstashProxy({ redisUrl: modelUrl, token })
  release(() => proxy.stop())
  return { url: proxy.url, token }
}

/** The database behind the dialler's on the same server: PubSub and lists of a dialler are not in the read model's way there. */
export function nextDatabase(redisUrl: string): string {
  const url = new URL(redisUrl)
  url.pathname = `/${Number(url.pathname.slice(1) || 0) + 1}`
  return url.href
}
