import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createProducer } from '../../producer/index.ts'
import { createRelay, type Relay, type RelayOptions } from '../../relay/index.ts'
import { sleep, type Release } from '../../runtime/index.ts'
import { createSimulator, type CallCentre } from '../../simulator/simulator.ts'
import { startRedisServer, type RedisServer } from '../servers.ts'
import { StreetError, wordsOf } from '../street-error.ts'
import { startUpstashProxy } from '../upstash-proxy.ts'
import type { DataDir } from './data-dir.ts'
import type { Settings } from './street-settings.ts'

/** The folder of the street's Redis servers, and the means to end them. */
export type RedisPlace = { readonly folder: string; readonly dataDir: DataDir; readonly release: Release }

type Dialler = { readonly url?: string; readonly part: Part }

/** Finds or starts the dialler's Redis: the one in the settings, else a server of the street's own on `port`. `url` is undefined if ENIGMA_SOURCES names the dialler. */
export async function startDialler(settings: Settings, port: number, place: RedisPlace): Promise<Dialler> {
  const name = "dialler's Redis"
  if (settings.hasDialler) {
    const address = settings.relay.sources.map((source) => `${source.id}=${hideCredentials(source.url)}`).join(',')
    return { part: { name, address, note: 'from ENIGMA_SOURCES' } }
  }
  if (settings.redisUrl !== undefined) {
    const part = { name, address: hideCredentials(settings.redisUrl), note: 'from REDIS_URL' }
    return { url: settings.redisUrl, part }
  }
  const server = await startOwnRedis('dialler', port, place)
  const note = port === 0 || server.port === port ? {} : { note: `port ${port} is already in use` }
  return { url: server.url, part: { name, address: server.url, ...note } }
}

/** Removes user and password from a Redis URL. */
export function hideCredentials(url: string): string {
  const shown = new URL(url)
  shown.username = ''
  shown.password = ''
  return shown.href
}

/** The address of the read model: `UPSTASH_REDIS_REST_URL` and `UPSTASH_REDIS_REST_TOKEN` of the functions. */
type ReadModel = { readonly url: string; readonly token: string }

/** Starts the read model: a Redis server behind the Upstash proxy. If no server can be started, it uses the next database of the one at `redisUrl`. */
export async function startReadModel(redisUrl: string | undefined, place: RedisPlace): Promise<ReadModel> {
  const { url } = await startOwnRedis('model', 0, place).catch((error: unknown) => {
    if (error instanceof StreetError && redisUrl !== undefined) return { url: nextDatabase(redisUrl) }
    throw error
  })
  const token = randomBytes(24).toString('base64url')
  const proxy = await startUpstashProxy({ redisUrl: url, token })
  place.release(() => proxy.stop())
  return { url: proxy.url, token }
}

/** Returns the URL of the next database on the dialler's server, where its keys and those of the read model cannot collide. */
export function nextDatabase(redisUrl: string): string {
  const url = new URL(redisUrl)
  url.pathname = `/${Number(url.pathname.slice(1) || 0) + 1}`
  return url.href
}

/** Starts a redis-server that keeps its data between runs and never outlives this process. @throws StreetError `dev.redis.not_started` */
async function startOwnRedis(
  name: string,
  port: number,
  { folder, dataDir, release }: RedisPlace,
): Promise<RedisServer> {
  const own = join(folder, name)
  await mkdir(own, { recursive: true })
  const server = await startRedisServer({ port, dataDir: own, ownGroup: true }).catch((cause: unknown) => {
    throw new StreetError(
      'dev.redis.not_started',
      `${wordsOf(cause)}; install redis-server, or name one that runs by REDIS_URL=redis://host:port`,
      { cause },
    )
  })
  // For an end by an error or a second Ctrl-C, after which no asynchronous code runs.
  const endAtOnce = () => void server.process.kill('SIGTERM')
  process.once('exit', endAtOnce)
  release(async () => {
    process.off('exit', endAtOnce)
    await server.stop()
  })
  if (server.process.pid !== undefined) await dataDir.noteChild(server.process.pid)
  return server
}

/** A running part of the street, as the view shows it. */
export type Part = {
  readonly name: string
  /** Contains no password. */
  readonly address: string
  readonly note?: string
}

/** Creates the background of the street: runs its loops, and stops them in reverse order. */
export function createBackground(release: Release) {
  const failure = Promise.withResolvers<never>()
  // After the street has ended, nobody waits for this promise any more.
  failure.promise.catch(() => undefined)
  return {
    /** Rejects when one of the loops fails. Never resolves. */
    failed: failure.promise,
    /** Starts a loop. The releaser aborts it and waits for its end. */
    run: (loop: (signal: AbortSignal) => Promise<void>): void => {
      const end = new AbortController()
      const running = loop(end.signal)
      running.catch(failure.reject)
      release(async () => {
        end.abort()
        // `failed` has reported its error.
        await running.catch(() => undefined)
      })
    },
  }
}

export type Background = ReturnType<typeof createBackground>

/** The longest wait (ms) for the relay to become ready. It may never be, for instance without a dialler, and keeps trying by itself. */
const MAX_READY_MS = 3_000

/** Starts the relay in this process. Resolves when it is ready, so that it misses no packet that is written afterwards. */
export async function startRelay(
  options: RelayOptions,
  background: Background,
): Promise<{ relay: Relay; url: string }> {
  const listening = Promise.withResolvers<string>()
  const relay = createRelay({ ...options, onListening: listening.resolve })
  background.run((signal) => relay.run(signal))
  const url = await Promise.race([listening.promise, background.failed])
  const until = performance.now() + MAX_READY_MS
  while (performance.now() < until && !(await fetch(`${url}/readyz`)).ok) await sleep(20)
  return { relay, url }
}

/** Starts the simulated call centre, which writes to the dialler's Redis. */
export function startCallCentre(callCentre: CallCentre, url: string, background: Background): Part {
  const { agents, speed, seed } = callCentre
  background.run(async (signal) => {
    const producer = createProducer({ url })
    try {
      await createSimulator({ producer, ...callCentre }).run(signal)
    } finally {
      await producer.close()
    }
  })
  const pace = speed === 1 ? 'real time' : `${speed} times real time`
  return { name: 'call centre', address: 'simulated', note: `${agents} agents, ${pace}, seed ${seed}` }
}
