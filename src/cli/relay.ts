import { createLog, createShutdown } from '../runtime/index.ts'
import { applyHeapFlags, collectStart } from './heap-flags.ts'

/** `enigma-relay relay`: runs until SIGINT or SIGTERM. @throws ConfigError, RelayError */
export async function runRelay(): Promise<void> {
  applyHeapFlags()
  const { createRelay, readConfig } = await import('../relay/index.ts')
  const config = readConfig(process.env)
  const shutdown = createShutdown(process)
  try {
    await createRelay({ config, log: createLog(config.logLevel), onListening: collectStart }).run(shutdown.signal)
  } finally {
    shutdown.dispose()
    // All is closed; a connection that hangs in its making must not keep the process.
    setTimeout(() => process.exit(), 1_000).unref()
  }
}
