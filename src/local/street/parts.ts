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

/** What the street's Redis servers need: its folder, and how to end them. */
export type RedisPlace = { readonly folder: string; readonly dataDir: DataDir; readonly release: Release }

type Dialler = { readonly url?: string; readonly part: Part }

/** The dialler's Redis: the one that is there, else one of the street's own on `port`. `url` is undefined where ENIGMA_SOURCES names it. */
export async function startDialler(settings: Settings, port: number, place: RedisPlace): Promise<Dialler> {
  const name = "dialler's Redis"
  if (settings.hasDialler) {
    const address = settings.relay.sources.map((source) => `${source.id}=${hideCredentials(source.url)}`).join(',')
    return { part: { name, address, note: 'as ENIGMA_SOURCES says' } }
  }
  if (settings.redisUrl !== undefined) {
    const part = { name, address: hideCredentials(settings.redisUrl), note: 'as REDIS_URL says' }
    return { url: settings.redisUrl, part }
  }
  const server = await startOwnRedis('dialler', port, place)
  const note = port === 0 || server.port === port ? {} : { note: `port ${port} is already in use` }
  return { url: server.url, part: { name, address: server.url, ...note } }
}

/** A Redis URL that may be shown. */
export function hideCredentials(url: string): string {
  const shown = new URL(url)
  shown.username = ''
  shown.password = ''
  return shown.href
}

/** Where the read model is: what `UPSTASH_REDIS_REST_URL` and `UPSTASH_REDIS_REST_TOKEN` are for a deployed one. */
type ReadModel = { readonly url: string; readonly token: string }

/** A Redis of its own behind the proxy that speaks as Upstash does; where none can be started, the one at `redisUrl`. */
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

/** The database behind the dialler's on the same server: PubSub and lists of a dialler are not in the read model's way there. */
export function nextDatabase(redisUrl: string): string {
  const url = new URL(redisUrl)
  url.pathname = `/${Number(url.pathname.slice(1) || 0) + 1}`
  return url.href
}

/** A redis-server of the street's own, which keeps its data between runs and never outlives this process. @throws StreetError `dev.redis.not_started` */
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

/** Something of the street that runs, for the line that says so. */
export type Part = {
  readonly name: string
  /** Never with a password in it. */
  readonly address: string
  readonly note?: string
}

/** What runs in the background of the street. */
export function createBackground(release: Release) {
  const failure = Promise.withResolvers<never>()
  // Whoever does not listen any more has heard why it ended.
  failure.promise.catch(() => undefined)
  return {
    /** Rejects when one of them fails; never resolves. */
    failed: failure.promise,
    /** Starts it. It is stopped in its turn, the last one first, and awaited. */
    run: (run: (signal: AbortSignal) => Promise<void>): void => {
      const end = new AbortController()
      const running = run(end.signal)
      running.catch(failure.reject)
      release(async () => {
        end.abort()
        // Its error has been told by `failed`.
        await running.catch(() => undefined)
      })
    },
  }
}

export type Background = ReturnType<typeof createBackground>

/** How long (ms) to wait for a relay that cannot be ready, for instance because the dialler is not there. It goes on by itself. */
const READY_MS = 3_000

/** Starts the relay in this process; resolves when it hears and takes, so that nothing which is written now is missed. */
export async function startRelay(options: RelayOptions, background: Background): Promise<{ relay: Relay; url: string }> {
  const listening = Promise.withResolvers<string>()
  const relay = createRelay({ ...options, onListening: listening.resolve })
  background.run((signal) => relay.run(signal))
  const url = await Promise.race([listening.promise, background.failed])
  const until = performance.now() + READY_MS
  while (performance.now() < until && !(await fetch(`${url}/readyz`)).ok) await sleep(20)
  return { relay, url }
}

/** Plays the call centre on the dialler's Redis. */
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
  return { name: 'call centre', address: 'played', note: `${agents} agents, ${pace}, seed ${seed}` }
}
