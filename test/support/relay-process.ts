import { execFile as execFileCallback, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { onTestFinished } from 'vitest'
import { HEAP_FLAGS, MALLOC } from '../../src/cli/run-relay.ts'
import { readMetric } from './metrics.ts'
import { expectPrivate } from './privacy.ts'
import { relayEnv, waitFor, type UseRelayOptions } from './relay.ts'
import { ROUTES_FILE } from './routes.ts'

const execFile = promisify(execFileCallback)
const CLI = new URL('../../src/cli/main.ts', import.meta.url).pathname

export type RelayProcessOptions = Omit<UseRelayOptions, 'dataDir'> & {
  readonly dataDir: string
  /** Whether the environment contains AWS credentials (default: true). Without them, the SDK finds none. */
  readonly credentials?: boolean
  /** A limit on the size of the relay's files, in KiB, which acts like a full disk. `liftFileLimit` removes it. */
  readonly fileKib?: number
}

type Line = Record<string, unknown>

/** Starts `enigma-relay relay` as a child process. */
export function spawnRelay({ credentials = true, fileKib, ...options }: RelayProcessOptions) {
  // With the flags with which the relay would otherwise restart itself, so that it starts only once.
  const node = [
    process.execPath,
    ...HEAP_FLAGS,
    '--conditions=source',
    '--disable-warning=ExperimentalWarning',
    CLI,
    'relay',
  ]
  const [command = '', ...args] =
    fileKib === undefined ? node : ['bash', '-c', `ulimit -S -f ${fileKib}; exec "$0" "$@"`, ...node]
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      // Node's compile cache makes the start fast. With a file size limit, Node could not write it.
      ...(fileKib === undefined ? { NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] } : {}),
      // The SDK must not find credentials in the user's AWS profile or the metadata service.
      HOME: options.dataDir,
      AWS_EC2_METADATA_DISABLED: 'true',
      ENIGMA_ROUTES: ROUTES_FILE,
      ...MALLOC,
      ...(credentials ? { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' } : {}),
      ...relayEnv(options, options.dataDir),
    },
  })
  const lines: Line[] = []
  let rest = ''
  let errors = ''
  let served: string | undefined
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) {
      const line = JSON.parse(part) as Line
      if (line['code'] === 'relay.http.listening') served = String(line['address'])
      lines.push(line)
    }
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    errors += chunk
  })
  const exited = once(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
    errors,
  }))
  /** The lines with this code. */
  const coded = (code: string) => lines.filter((line) => line['code'] === code)
  const isRunning = () => child.exitCode === null && child.signalCode === null

  const address = async (): Promise<string> => {
    await waitFor(() => served !== undefined || !isRunning(), 'the relay to serve', 30_000)
    if (served === undefined) throw new Error(`the relay ended: ${errors}`)
    return served
  }
  return {
    pid: child.pid,
    lines,
    coded,
    isRunning,
    exited,
    /** Waits until the relay is ready. Its targets need not be. */
    ready: async () => {
      const at = await address()
      await waitFor(async () => {
        const { parts } = (await (await fetch(`${at}/readyz`)).json()) as { parts: Record<string, { ok: boolean }> }
        return Object.entries(parts).every(([name, part]) => part.ok || /^(sqs|target)/.test(name))
      }, 'the relay to be ready')
    },
    /** Returns the answer of `/readyz`. */
    readiness: async () => {
      const answer = await fetch(`${await address()}/readyz`)
      return {
        status: answer.status,
        parts: ((await answer.json()) as { parts: Record<string, { ok: boolean; since: string; reason?: string }> })
          .parts,
      }
    },
    liftFileLimit: () => execFile('prlimit', ['--fsize=unlimited', '--pid', String(child.pid)]),
    metric: async (name: string, labels?: Record<string, string>) => readMetric(await address(), name, labels),
    kill: (signal: NodeJS.Signals) => {
      child.kill(signal)
      return exited
    },
  }
}

/** Starts the same process. Kills it when the test ends, and asserts that its output contains no personal data. */
export function startRelayProcess(options: RelayProcessOptions): ReturnType<typeof spawnRelay> {
  const relay = spawnRelay(options)
  onTestFinished(async () => {
    const { errors } = await relay.kill('SIGKILL')
    expectPrivate([...relay.lines.map((line) => JSON.stringify(line)), errors], 'the output of a relay')
  })
  return relay
}
