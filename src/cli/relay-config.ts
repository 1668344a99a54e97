import { readOwnRoutes } from '../lambda/declarations.ts'
import type { Routes } from '../protocol/index.ts'
import { readConfig, type RelayConfig } from '../relay/index.ts'
import type { Env } from '../runtime/index.ts'

/** Reads the configuration of the relay with the route table that it names, or that of this version. @throws ConfigError, FunctionsError */
export async function readRelayConfig(env: Env): Promise<{ readonly config: RelayConfig; readonly routes: Routes }> {
  const isNamed = (env['ENIGMA_ROUTES'] ?? '').trim() !== ''
  const own = isNamed ? undefined : await readOwnRoutes()
  const config = readConfig(env, own)
  // One of both is there: a file that cannot be read is a fault.
  return { config, routes: (config.routes ?? own) as Routes }
}
