import { hostname } from 'node:os'
import { join } from 'node:path'
import { readConfig } from '../../relay/index.ts'
import { ConfigError, createEnvReader, type Env, type EnvFault } from '../../runtime/index.ts'
import { SIMULATOR_LISTS } from '../../simulator/simulator.ts'
import { LOCAL_AWS } from '../local-aws.ts'

/** Reads the street's settings from environment variables. @throws ConfigError with the faults of all variables */
export function readSettings(env: Env, folder: string) {
  const hasDialler = (env['ENIGMA_SOURCES'] ?? '').trim() !== ''
  const reader = createEnvReader(env)
  const redisUrl = reader.read('REDIS_URL', '', (text, fault) =>
    text === '' || (/^rediss?:\/\/\S+$/.test(text) && URL.canParse(text))
      ? text
      : fault('is not a redis:// or rediss:// URL', 'write redis://127.0.0.1:6379'),
  )
  const api = reader.read('ENIGMA_API', '127.0.0.1:8080', (text, fault) => {
    const match = /^([^:\s]+):(\d{1,5})$/.exec(text)
    const port = Number(match?.[2])
    if (match === null || port > 65_535) return fault(`"${text}" is not host:port`, 'write 127.0.0.1:8080')
    return { host: match[1] as string, port }
  })
  const toConfig = (more: Env) =>
    readConfig({
      ...env,
      ENIGMA_LISTS: env['ENIGMA_LISTS']?.trim() || (hasDialler ? undefined : SIMULATOR_LISTS.join(',')),
      ENIGMA_DATA_DIR: join(folder, 'relay'),
      // The host name alone is the default id of a relay that runs on this machine beside dev.
      ENIGMA_RELAY_ID: env['ENIGMA_RELAY_ID']?.trim() || `dev-${hostname()}`,
      // Lingering saves money on AWS. Here it would only cost time.
      ENIGMA_LINGER: env['ENIGMA_LINGER']?.trim() || 'none',
      ...LOCAL_AWS,
      AWS_ENDPOINT_URL_SQS: undefined,
      ...more,
    })
  const faults = [...faultsOf(reader.check), ...faultsOf(() => toConfig({}))]
  if (faults.length > 0) throw new ConfigError(faults)
  return {
    /** Whether ENIGMA_SOURCES names a dialler. Then the street starts no Redis for it, simulates nothing, and consumes only the lists in ENIGMA_LISTS. */
    hasDialler,
    /** REDIS_URL: a Redis server to use instead of starting one. */
    redisUrl: redisUrl || undefined,
    api: api as NonNullable<typeof api>,
    /** API_TOKEN. Undefined: the street creates a token. */
    token: env['API_TOKEN']?.trim() || undefined,
    relay: toConfig({}),
    /** Returns the relay's configuration with these addresses. */
    toRelayConfig: (places: { readonly diallerUrl: string; readonly target: Env; readonly httpPort: number }) => {
      const config = toConfig({
        ...places.target,
        ...(hasDialler ? {} : { ENIGMA_SOURCES: `main=${places.diallerUrl}` }),
      })
      return { ...config, http: { host: config.http.host, port: places.httpPort } }
    },
  }
}

export type Settings = ReturnType<typeof readSettings>

/** Returns the faults of a ConfigError, so that faults of the relay's and of the street's own variables are reported together. */
function faultsOf(read: () => unknown): readonly EnvFault[] {
  try {
    read()
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}
