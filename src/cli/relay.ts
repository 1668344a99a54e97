import { createLog, createShutdown } from '../runtime/index.ts'
import { applyHeapFlags, collectStart } from './heap-flags.ts'

/** `enigma-relay relay`: runs until SIGINT or SIGTERM. @throws ConfigError, RelayError */
export async function runRelay(): Promise<void> {
  applyHeapFlags()
  const [{ createRelay, readConfig }, { readRoutes }] = await Promise.all([
    import('../relay/index.ts'),
    import('./routes.ts'),
  ])
  const config = readConfig(process.env)
  const routes = await readRoutes(config)
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
