import { hostname } from 'node:os'
import { join } from 'node:path'
import { readConfig, type RelayConfig } from '../../relay/index.ts'
import { ConfigError, createEnvReader, type Env } from '../../runtime/index.ts'
import { SIMULATOR_LISTS } from '../simulator/index.ts'

/** What the variables say about the street. */
export type Settings = {
  /** A dialler that is there: the street starts none, plays none, and takes no list that is not named. */
  readonly hasDialler: boolean
  /** REDIS_URL: a Redis server to use instead of starting one. */
  readonly redisUrl: string | undefined
  readonly api: { readonly host: string; readonly port: number }
  /** API_TOKEN; undefined: make one. */
  readonly token: string | undefined
  /** The relay's configuration, with these places filled in. */
  toRelayConfig: (places: {
    readonly diallerUrl: string
    readonly endpoint: string
    readonly httpPort: number
  }) => RelayConfig
  readonly relay: RelayConfig
}

/** The street's SQS is a local one, whatever the variables say, so that no real queue is written to by accident. */
export const LOCAL_AWS = {
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
} as const

/** @throws ConfigError with the faults of all variables. */
export function readSettings(env: Env, folder: string): Settings {
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
      // Not the host's name alone, which is the name of a relay that runs here beside dev.
      ENIGMA_RELAY_ID: env['ENIGMA_RELAY_ID']?.trim() || `dev-${hostname()}`,
      // Company saves money on AWS, and here only time would be lost.
      ENIGMA_LINGER: env['ENIGMA_LINGER']?.trim() || 'none',
      ...LOCAL_AWS,
      AWS_ENDPOINT_URL_SQS: undefined,
      ...more,
    })
  const relay = withFaults(reader, () => toConfig({}))
  return {
    hasDialler,
    redisUrl: redisUrl || undefined,
    api: api as Settings['api'],
    token: env['API_TOKEN']?.trim() || undefined,
    relay,
    toRelayConfig: ({ diallerUrl, endpoint, httpPort }) => {
      const config = toConfig({
        AWS_ENDPOINT_URL_SQS: endpoint,
        ...(hasDialler ? {} : { ENIGMA_SOURCES: `main=${diallerUrl}` }),
      })
      return { ...config, http: { host: config.http.host, port: httpPort } }
    },
  }
}

/** One message for the relay's variables and the street's own. */
function withFaults(reader: ReturnType<typeof createEnvReader>, read: () => RelayConfig): RelayConfig {
  const faults = [() => reader.check(), read].flatMap((part) => {
    try {
      part()
      return []
    } catch (error) {
      if (error instanceof ConfigError) return error.faults
      throw error
    }
  })
  if (faults.length > 0) throw new ConfigError(faults)
  return read()
}
