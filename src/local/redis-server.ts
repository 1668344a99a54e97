import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StreetError } from './errors.ts'
import { freePort } from './free-port.ts'

export type RedisServerOptions = {
  /** TCP port on 127.0.0.1; another free one is taken when it is not free. Default 0: any. */
  readonly port?: number
  /** Where it keeps its data between runs. Default: a folder that is removed at `stop`, with persistence off. */
  readonly dataDir?: string
  /** More arguments, such as `['--maxmemory', '8mb']`. */
  readonly args?: readonly string[]
  /** The program. Default `redis-server` on PATH. */
  readonly command?: string
  /** In a process group of its own, so that Ctrl-C in the terminal does not end it before those who still need it. Default false. */
  readonly ownGroup?: boolean
}

/** A real redis-server of ours, a child of this process. */
export type RedisServer = {
  readonly url: string
  readonly port: number
  readonly process: ChildProcess
  /** Ends it (SIGTERM, then SIGKILL after 5 s) and removes its temporary folder. */
  stop: () => Promise<void>
}

/** Starts redis-server on 127.0.0.1 and resolves when it accepts connections. Throws with its own last words when it does not start. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    // Between finding a free port and listening on it, another process may take it: then with another one.
    const started = await tryStart(options, await freePort(attempt === 1 ? options.port : 0))
    if (typeof started !== 'string') return started
    if (attempt === 5 || !started.includes('in use'))
      throw new StreetError('dev.redis.not_started', `redis-server did not start: ${started}`)
  }
}

async function tryStart(options: RedisServerOptions, port: number): Promise<RedisServer | string> {
  const temporary = options.dataDir === undefined ? await mkdtemp(join(tmpdir(), 'enigma-redis-')) : undefined
  const dir = options.dataDir ?? temporary ?? '.'
  const persistence = temporary === undefined ? ['--appendonly', 'yes'] : ['--appendonly', 'no']
  const child = spawn(
    options.command ?? 'redis-server',
    [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--dir',
      dir,
      '--save',
      '',
      ...persistence,
      '--daemonize',
      'no',
      ...(options.args ?? []),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], detached: options.ownGroup ?? false },
  )
  let output = ''
  const ready = new Promise<boolean>((resolve) => {
    child.once('error', (error) => {
      output += error.message
      resolve(false)
    })
    child.once('exit', () => resolve(false))
    const listen = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4_000)
      if (/Ready to accept connections|now ready to accept/.test(output)) resolve(true)
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
  })
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
      await exited
      clearTimeout(timer)
    }
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true })
  }
  if (await ready) return { url: `redis://127.0.0.1:${port}`, port, process: child, stop }
  await stop()
  return output.trim().split('\n').slice(-3).join(' ')
}
