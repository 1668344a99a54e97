import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { readOwnRoutes } from '../lambda/declarations.ts'
import type { Routes } from '../protocol/index.ts'
import { readConfig, type RelayConfig } from '../relay/index.ts'
import { createLog, createShutdown, type Env } from '../runtime/index.ts'

/** `enigma-relay relay`: runs until SIGINT or SIGTERM. @throws ConfigError, RelayError */
export async function runRelay(): Promise<void> {
  applyHeapFlags()
  const [{ createRelay }, { readRelayConfig }] = await Promise.all([
    import('../relay/index.ts'),
    import('./run-relay.ts'),
  ])
  const { config, routes } = await readRelayConfig(process.env)
  const shutdown = createShutdown(process)
  try {
    const relay = createRelay({ config, routes, log: createLog(config.logLevel), onListening: collectStart })
    await relay.run(shutdown.signal)
  } finally {
    shutdown.dispose()
    // All is closed; a connection that hangs in its making must not keep the process.
    setTimeout(() => process.exit(), 1_000).unref()
  }
}

/**
 * V8 lets a heap with much short-lived text grow to several times of what lives in it. A young generation of three times 8 MiB is
 * collected cheaply and stays small, and the old one is collected when it has grown by half: at 100 %, a relay took 218 MB in an outage of SQS
 * of 100 s, at 50 % 190 MB. A drain of 200,000 CDRs shows no difference beyond the noise of a machine.
 */
export const HEAP_FLAGS = ['--max-semi-space-size=8', '--heap-growing-percent=50']

/**
 * What is freed at the end of the heap of C goes back to the system beyond this size. Without a value, glibc raises its own with each large
 * buffer that is freed, up to 64 MiB: 20 MB more in a drain. Source: mallopt(3), M_TRIM_THRESHOLD.
 */
export const MALLOC = { MALLOC_TRIM_THRESHOLD_: String(128 * 1024) }

/**
 * Runs this program again in the place of this process, under its process id, with the flags of its heaps: they count only from the start
 * of a process. Does nothing when they are given already, or where a process cannot be replaced (Windows).
 */
function applyHeapFlags(): void {
  const given = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ')
  if (/--max[-_]semi[-_]space[-_]size/.test(given)) return
  try {
    const words = [process.execPath, ...HEAP_FLAGS, ...process.execArgv, ...process.argv.slice(1)]
    process.execve?.(process.execPath, words, { ...MALLOC, ...process.env })
  } catch {
    // The relay runs all the same, with more memory.
  }
}

/**
 * Collects what only the start needed. An idle process allocates too little for V8 to do so by itself. Measured on an idle relay: 95 MB and
 * not 119, for a pause of some 50 ms, to be made before anything is taken or heard.
 */
function collectStart(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: Record<string, string>) => void
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

/** Reads the configuration of the relay with the route table that it names, or that of this version. @throws ConfigError, FunctionsError */
export async function readRelayConfig(env: Env): Promise<{ readonly config: RelayConfig; readonly routes: Routes }> {
  const isNamed = (env['ENIGMA_ROUTES'] ?? '').trim() !== ''
  const own = isNamed ? undefined : await readOwnRoutes()
  const config = readConfig(env, own)
  // One of both is there: a file that cannot be read is a fault.
  return { config, routes: (config.routes ?? own) as Routes }
}
