import { createRelay, readConfig } from '../relay/index.ts'
import { createLog, createShutdown } from '../runtime/index.ts'

/** `enigma-relay relay`: runs until SIGINT or SIGTERM. @throws ConfigError, RelayError */
export async function runRelay(): Promise<void> {
  const config = readConfig(process.env)
  const shutdown = createShutdown(process)
  try {
    await createRelay({ config, log: createLog(config.logLevel) }).run(shutdown.signal)
  } finally {
    shutdown.dispose()
  }
}
