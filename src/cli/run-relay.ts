import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Routes } from '../protocol/index.ts'
import type { RelayConfig } from '../relay/index.ts'
import { createLog, createShutdown, type Env } from '../runtime/index.ts'

/** Runs `enigma-relay relay` until SIGINT or SIGTERM. @throws ConfigError, RelayError */
export async function runRelay(): Promise<void> {
  applyHeapFlags()
  const { createRelay } = await import('../relay/index.ts')
  const { config, routes } = await readRelayConfig(process.env)
  const shutdown = createShutdown(process)
  try {
    const relay = createRelay({ config, routes, log: createLog(config.logLevel), onListening: collectStart })
    await relay.run(shutdown.signal)
  } finally {
    shutdown.dispose()
    // Everything is closed. A connection that hangs while it is opened must not keep the process alive.
    setTimeout(() => process.exit(), 1_000).unref()
  }
}

/**
 * V8 lets a heap with much short-lived text grow to several times the size of its live objects. A young generation of three times 8 MiB
 * is cheap to collect and stays small. The old generation is collected when it has grown by half: during an SQS outage of 100 s a relay used
 * 218 MB at 100 %, and 190 MB at 50 %. Draining 200,000 CDRs takes the same time within the noise of the measurement.
 */
export const HEAP_FLAGS = ['--max-semi-space-size=8', '--heap-growing-percent=50']

/**
 * glibc returns free memory at the top of the C heap to the system once it exceeds this size. Without a fixed value, glibc raises the
 * threshold with each large buffer that is freed, up to 64 MiB, which costs 20 MB in a drain. Source: mallopt(3), M_TRIM_THRESHOLD.
 */
export const MALLOC = { MALLOC_TRIM_THRESHOLD_: String(128 * 1024) }

/**
 * Replaces this process with the same program and the flags of its heaps, under the same process id: V8 and glibc read them only when a
 * process starts. Does nothing if the flags are already set, or on Windows, where a process cannot be replaced.
 */
function applyHeapFlags(): void {
  const given = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ')
  if (/--max[-_]semi[-_]space[-_]size/.test(given)) return
  try {
    const words = [process.execPath, ...HEAP_FLAGS, ...process.execArgv, ...process.argv.slice(1)]
    process.execve?.(process.execPath, words, { ...MALLOC, ...process.env })
  } catch {
    // The relay still runs, with more memory.
  }
}

/**
 * Collects the garbage of the start. An idle process allocates too little for V8 to collect by itself. An idle relay uses 95 MB instead of
 * 119 MB. The pause of about 50 ms happens before the relay takes or receives anything.
 */
function collectStart(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: Record<string, string>) => void
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

/**
 * Reads the relay's configuration, and the route table that ENIGMA_ROUTES names, else that of this version. The relay is imported here, after
 * `applyHeapFlags`, so that a replaced process has not loaded it in vain. @throws ConfigError, FunctionsError
 */
export async function readRelayConfig(env: Env): Promise<{ readonly config: RelayConfig; readonly routes: Routes }> {
  const [{ readConfig }, { readOwnRoutes }] = await Promise.all([
    import('../relay/index.ts'),
    import('../lambda/declarations.ts'),
  ])
  const isNamed = (env['ENIGMA_ROUTES'] ?? '').trim() !== ''
  const own = isNamed ? undefined : await readOwnRoutes()
  const config = readConfig(env, own)
  // One of them is defined: readConfig throws if it cannot read the file.
  return { config, routes: (config.routes ?? own) as Routes }
}
