import { randomBytes } from 'node:crypto'
import { access, constants, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createProducer } from '../../producer/index.ts'
import { createRelay, type Relay, type RelayOptions } from '../../relay/index.ts'
import { createTurns, sleep, type Release } from '../../runtime/index.ts'
import { createSimulator, type CallCentre } from '../../simulator/simulator.ts'
import { checkRedis, hideCredentials, startRedisServer, StreetError, wordsOf, type RedisServer } from '../servers.ts'
import { startUpstashProxy } from '../upstash-proxy.ts'
import type { Settings } from './street.ts'

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
    await checkRedis(settings.redisUrl)
    const part = { name, address: hideCredentials(settings.redisUrl), note: 'from REDIS_URL' }
    return { url: settings.redisUrl, part }
  }
  const server = await startOwnRedis('dialler', port, place)
  const note = port === 0 || server.port === port ? {} : { note: `port ${port} is already in use` }
  return { url: server.url, part: { name, address: server.url, ...note } }
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
      `${wordsOf(cause)}; install redis-server, or set REDIS_URL=redis://host:port to a running server`,
      { cause },
    )
  })
  // Ends the server when an error or a second Ctrl-C ends this process, because no asynchronous code runs then.
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

/** The longest wait (ms) for the relay to become ready. Without a dialler, for instance, it may never become ready, and keeps retrying. */
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

/** A process, identified by its id and start time, because ids are reused. */
type Known = { readonly pid: number; readonly start: string }

type Record = Known & { readonly children: readonly Known[] }

/** The time (ms) after which a child of a killed run gets SIGKILL instead of SIGTERM. */
const MAX_END_MS = 5_000

/**
 * Locks the folder, because two streets would corrupt each other's files. First ends the processes that a killed run left behind.
 *
 * @throws StreetError `dev.street.already_running`
 */
export async function holdDataDir(folder: string) {
  const file = join(folder, 'dev.json')
  await mkdir(folder, { recursive: true })
    .then(() => access(folder, constants.W_OK))
    .catch((cause: unknown) => {
      const text = `the folder ${folder} cannot be used (${wordsOf(cause)}): set ENIGMA_DATA_DIR to a folder that you can write to`
      throw new StreetError('dev.folder.unusable', text, { cause })
    })
  const former = await readRecord(file)
  if (former !== undefined && (await isAlive(former))) {
    throw new StreetError(
      'dev.street.already_running',
      `dev is already running as process ${former.pid}: stop it first (only one process can use the state in ${folder})`,
    )
  }
  for (const child of former?.children ?? []) await endChild(child)

  const self = { pid: process.pid, start: (await readStart(process.pid)) ?? '' }
  const children: Known[] = []
  // Two concurrent writes would mix their contents.
  const inTurn = createTurns()
  // The file is replaced in one step, so that a run that is killed now leaves a complete list of its children.
  const write = async (): Promise<void> => {
    await writeFile(`${file}.new`, JSON.stringify({ ...self, children } satisfies Record))
    await rename(`${file}.new`, file)
  }
  await inTurn(write)
  return {
    /** Records a child process. If this process is killed, the next run ends the child. */
    noteChild: async (pid: number): Promise<void> => {
      children.push({ pid, start: (await readStart(pid)) ?? '' })
      await inTurn(write)
    },
    release: () => inTurn(() => rm(file, { force: true })),
  }
}

export type DataDir = Awaited<ReturnType<typeof holdDataDir>>

async function readRecord(file: string): Promise<Record | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Record
  } catch {
    // The file is missing, or a crash of the machine cut it off. After such a crash no process is left.
    return undefined
  }
}

async function isAlive({ pid, start }: Known): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  return ((await readStart(pid)) ?? '') === start
}

/** Returns the start time of a process as the kernel reports it. Undefined if the process has ended, or where there is no /proc. */
async function readStart(pid: number): Promise<string | undefined> {
  try {
    // Fields 3 and 22 of proc_pid_stat(5), counted after the program's name, which may contain any character.
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

async function endChild(child: Known): Promise<void> {
  const until = performance.now() + MAX_END_MS
  while (await isAlive(child)) {
    process.kill(child.pid, performance.now() < until ? 'SIGTERM' : 'SIGKILL')
    // A frozen process receives no other signal.
    process.kill(child.pid, 'SIGCONT')
    await delay(50)
  }
}
