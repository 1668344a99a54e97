import { createAdaptorServer } from '@hono/node-server'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { Hono } from 'hono'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from 'redis'

/** Reports that the local street, or a part of it, cannot run. The message tells the user what to do; docs/logs.md explains each code. */
export class StreetError extends Error {
  override readonly name = 'StreetError'
  readonly code:
    | 'dev.street.already_running'
    | 'dev.redis.not_started'
    | 'dev.redis.not_reached'
    | 'dev.folder.unusable'
    | 'dev.fail.unknown_route'
    | 'dev.functions.invalid'
    | 'dev.queues.invalid'
    | 'dev.bundles.not_packaged'
    | 'dev.parameters.missing'
    | 'dev.api.no_address'
    | 'dev.port.none_free'
    | 'dev.bundles.bad_template'
    | 'dev.lambda.bad_answer'
    | 'dev.function.timed_out'

  constructor(code: StreetError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Returns the message of anything that was thrown, or its name: some errors have no message. */
export const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message || error.name : String(error)

/** Returns only the error's name, because the message of a function's error can contain personal data. */
export const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error)

/** Starts a server on a TCP port (0: any free one). `stop` closes it and its connections. Rejects if the port cannot be used. */
export async function listen(server: Server, wanted = 0, host = '127.0.0.1') {
  server.listen(wanted, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://${host}:${port}`,
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Serves a Hono app on 127.0.0.1. */
export const serveApp = ({ fetch }: Hono, port = 0) =>
  listen(createAdaptorServer({ fetch, overrideGlobalObjects: false }) as Server, port)

/** Returns a free TCP port on 127.0.0.1: `wanted`, if it is free. Another process can take the port before it is used. */
export async function freePort(wanted = 0): Promise<number> {
  try {
    const { port, stop } = await listen(createServer(), wanted)
    await stop()
    return port
  } catch (cause) {
    // The wanted port is in use.
    if (wanted !== 0) return freePort()
    throw new StreetError('dev.port.none_free', 'there is no free TCP port on 127.0.0.1', { cause })
  }
}

/** Explains why a part has another port than the wanted one (0: any). */
export const noteMoved = (wanted: number, port: number): string =>
  wanted === 0 || wanted === port ? '' : `; port ${wanted} is already in use`

/** Removes user and password from a Redis URL. */
export function hideCredentials(url: string): string {
  const shown = new URL(url)
  shown.username = ''
  shown.password = ''
  return shown.href
}

/** Connects to the server of REDIS_URL, so that a wrong address is reported at once. @throws StreetError `dev.redis.not_reached` */
export async function checkRedis(url: string): Promise<void> {
  const client = createClient({ url, RESP: 2, socket: { connectTimeout: 5_000, reconnectStrategy: false } })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.ping()
  } catch (cause) {
    const text = `Redis at ${hideCredentials(url)} cannot be used (${wordsOf(cause)}): start it, correct REDIS_URL, or unset it`
    throw new StreetError('dev.redis.not_reached', text, { cause })
  } finally {
    client.destroy()
  }
}

export type RedisServerOptions = {
  /** TCP port on 127.0.0.1. If it is in use, another free one is chosen. Default 0: any. */
  readonly port?: number
  /** Folder for its data between runs. Default: no persistence, and a folder that `stop` removes. */
  readonly dataDir?: string
  /** More arguments, such as `['--maxmemory', '8mb']`. */
  readonly args?: readonly string[]
  /** Whether it runs in its own process group, so that Ctrl-C in the terminal does not end it before the processes that need it. Default false. */
  readonly ownGroup?: boolean
}

/**
 * Starts a real redis-server on 127.0.0.1 as a child of this process. Resolves when it accepts connections.
 *
 * @throws StreetError with the last lines of its output if it does not start
 */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(options, await freePort(attempt === 1 ? options.port : 0))
    } catch (error) {
      // Another process took the port after it was found free: try another port.
      if (attempt === 5 || !wordsOf(error).includes('in use')) throw error
    }
  }
}

async function start(options: RedisServerOptions, port: number) {
  const isTemporary = options.dataDir === undefined
  const dir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'enigma-redis-')))
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--daemonize', 'no']
  args.push('--appendonly', isTemporary ? 'no' : 'yes', ...(options.args ?? []))
  const detached = options.ownGroup ?? false
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'pipe'], detached })
  let output = ''
  const ready = new Promise<boolean>((resolve) => {
    child.once('error', (error) => {
      output += error.message
      resolve(false)
    })
    child.once('exit', () => resolve(false))
    const read = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4_000)
      if (/Ready to accept connections|now ready to accept/.test(output)) resolve(true)
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
  })
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
      await exited
      clearTimeout(timer)
    }
    if (isTemporary) await rm(dir, { recursive: true, force: true })
  }
  if (!(await ready)) {
    await stop()
    const words = output.trim().split('\n').slice(-3).join(' ')
    throw new StreetError('dev.redis.not_started', `redis-server did not start: ${words}`)
  }
  /** `stop` ends the server (SIGTERM, then SIGKILL after 5 s) and removes its temporary folder. */
  return { url: `redis://127.0.0.1:${port}`, port, process: child, stop }
}

export type RedisServer = Awaited<ReturnType<typeof start>>
