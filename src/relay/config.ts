import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { MAX_PREFIX_LENGTH, parseRoutes, STATES_BASE, type Routes } from '../protocol/index.ts'
import { createEnvReader, LOG_LEVELS, type Env, type LogLevel, type EnvReader } from '../runtime/index.ts'
import { readTargets, usesSqs, type TargetConfig } from './targets/http/target-settings.ts'
import { readProxies, type HttpProxies } from './targets/http-proxy.ts'
import { parseRedisAddress, type RedisAddress } from './redis/address.ts'
import { RELAY_PREFIX } from './redis/relay-keys.ts'

/** One Redis server that the relay reads. */
export type SourceConfig = RedisAddress & {
  /** Part of every id: letters, digits, `_` and `-`. Never give it to another Redis. */
  readonly id: string
}

export type RelayConfig = {
  readonly sources: readonly SourceConfig[]
  /**
   * The keys of the lists that the relay consumes, in every source. Default: none, because each item goes to one consumer only: any other consumer of
   * the list misses the items that the relay takes.
   */
  readonly lists: readonly string[]
  /** The end of a list that holds the oldest item. */
  readonly listEnd: 'right' | 'left'
  /** Pub/Sub patterns in the syntax of Redis. Where several patterns match a channel, the first one counts. */
  readonly channels: readonly string[]
  /**
   * The part of a key before the hashes of the dialler's present states, which the relay reads after a gap; undefined: the relay does not read them.
   */
  readonly resync: string | undefined
  /** Where notifications go, and how the relay authenticates itself. */
  readonly targets: TargetConfig
  /** The API whose replays the relay drives; undefined: the relay drives no replays. */
  readonly api: ApiAccess | undefined
  readonly queuePrefix: string
  /** The route table of the stack, read from a file; undefined: the route table of this version. */
  readonly routes: Routes | undefined
  readonly dataDir: string
  /** Names this relay's claims, lease and journal. Must stay the same after a restart. */
  readonly relayId: string
  /** ENIGMA_LINGER: whether notifications wait for others, for as long as their routes say. */
  readonly linger: boolean
  /** ENIGMA_COMMANDS: whether the relay takes operator commands from their queue. */
  readonly commands: boolean
  /** The maximum number of entries on the parked list of a source; the relay writes further entries to a file in `dataDir`. */
  readonly parkedMax: number
  readonly http: { readonly host: string; readonly port: number }
  readonly logLevel: LogLevel
  /** The region of the queues; empty when no route goes to SQS. */
  readonly region: string
  /** A custom SQS endpoint; undefined: AWS. */
  readonly endpoint: string | undefined
  readonly proxies: HttpProxies
}

/** The word that a user writes for "nothing". */
const NONE = 'none'

const toList = (text: string): string[] =>
  text === NONE ? [] : [...new Set(text.split(',').map((part) => part.trim()))].filter((part) => part !== '')

/** The configuration as read: a variable that cannot be used is undefined. */
type AsRead = { readonly [Key in keyof RelayConfig]: RelayConfig[Key] | undefined }

/**
 * Reads the configuration from the environment.
 *
 * @param ownRoutes the route table of this version, used when ENIGMA_ROUTES names none: ENIGMA_TARGET_<ROUTE> variables name its routes
 * @throws ConfigError with every fault and its fix. It never contains the value of a secret
 */
export function readConfig(env: Env, ownRoutes?: Routes): RelayConfig {
  const reader = createEnvReader(env)
  const config = {
    sources: reader.read('ENIGMA_SOURCES', 'main=redis://127.0.0.1:8001', (text, fault): SourceConfig[] => {
      const fix =
        'write id=redis://host:port, with an id of letters, digits, _ and -; separate several entries by commas'
      const parsed = toList(text).map((entry) => {
        const equals = entry.indexOf('=')
        const id = entry.slice(0, Math.max(0, equals))
        if (!/^[A-Za-z0-9_-]{1,64}$/.test(id)) return fault('an entry has no id before "="', fix)
        return { id, ...parseRedisAddress(id, entry.slice(equals + 1), fault) }
      })
      if (parsed.length === 0) return fault('names no source', 'write main=redis://127.0.0.1:8001')
      if (new Set(parsed.map((source) => source.id)).size < parsed.length)
        return fault('names an id twice', 'give each source its own id, which distinguishes its notifications')
      return parsed
    }),
    lists: reader.read('ENIGMA_LISTS', NONE, (text, fault) => {
      const lists = toList(text)
      const own = lists.find((list) => list.startsWith(RELAY_PREFIX))
      if (own === undefined) return lists
      return fault(
        `names ${own}, a key of the relay itself`,
        'name lists that the dialler fills, such as enigma:notifications:campaigns',
      )
    }),
    listEnd: reader.read('ENIGMA_LIST_END', 'right', (text, fault): RelayConfig['listEnd'] =>
      text === 'right' || text === 'left'
        ? text
        : fault(`"${text}" is not an end of a list`, 'write right (the dialler pushes on the left) or left'),
    ),
    channels: reader.read('ENIGMA_CHANNELS', 'enigma:notifications*', toList),
    resync: reader.read('ENIGMA_RESYNC', STATES_BASE, (text, fault) => {
      if (text === NONE) return undefined
      const fix = 'write the part before ":campaigns" in the key of the hash, such as enigma, or none'
      return /^[^\s,]*[^\s,:]$/.test(text) ? text : fault('is not the beginning of a key', fix)
    }),
    queuePrefix: reader.read('ENIGMA_QUEUE_PREFIX', 'enigma-', (text, fault) =>
      /^[A-Za-z0-9_-]+$/.test(text) && text.length <= MAX_PREFIX_LENGTH
        ? text
        : fault(
            'is not a prefix of SQS queue names',
            `use at most ${MAX_PREFIX_LENGTH} letters, digits, - and _, such as enigma-`,
          ),
    ),
    routes: reader.read('ENIGMA_ROUTES', '', (file, fault) => {
      if (file === '') return undefined
      try {
        return parseRoutes(readFileSync(file, 'utf8'))
      } catch (error) {
        return fault(
          `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
          'name the dist/routes.json of the build that was deployed',
        )
      }
    }),
    dataDir: reader.read('ENIGMA_DATA_DIR', '.enigma/relay', (text) => text),
    relayId: reader.read('ENIGMA_RELAY_ID', hostname(), (text, fault) =>
      /^[A-Za-z0-9._-]{1,128}$/.test(text)
        ? text
        : fault('contains characters that are not allowed', 'use at most 128 letters, digits, dots, - and _'),
    ),
    linger: reader.read('ENIGMA_LINGER', 'routes', (text, fault) =>
      text === 'routes' || text === 'none'
        ? text === 'routes'
        : fault(`"${text}" is not known`, 'write none to send each notification at once, or remove the variable'),
    ),
    commands: reader.read('ENIGMA_COMMANDS', 'queue', (text, fault) =>
      text === 'queue' || text === NONE
        ? text === 'queue'
        : fault(`"${text}" is not known`, 'write none to take no operator commands, or remove the variable'),
    ),
    parkedMax: reader.read('ENIGMA_PARKED_MAX', '10000', (text, fault) => {
      if (/^\d{1,9}$/.test(text)) return Number(text)
      const fix = 'write a whole number, such as 10000; 0 writes all entries to the file'
      return fault(`"${text}" is not a number of entries`, fix)
    }),
    http: reader.read('ENIGMA_HTTP', '127.0.0.1:8081', (text, fault) => {
      const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text)
      const port = Number(match?.[3])
      if (match === null || port > 65_535)
        return fault(`"${text}" is not host:port`, 'write 127.0.0.1:8081, or 0.0.0.0:8081 for all interfaces')
      return { host: (match[1] ?? match[2]) as string, port }
    }),
    logLevel: reader.read('ENIGMA_LOG_LEVEL', 'info', (text, fault) => {
      const found = LOG_LEVELS.find((level) => level === text)
      return found ?? fault(`"${text}" is not a log level`, `use one of ${LOG_LEVELS.join(', ')}`)
    }),
  }
  const endpoint = reader.read('AWS_ENDPOINT_URL_SQS', '', (text, fault) =>
    text === '' || (/^https?:\/\//.test(text) && URL.canParse(text))
      ? text
      : fault('is not an http:// or https:// URL', 'write http://127.0.0.1:4566, or leave it out for AWS'),
  )
  const otherwise = env['AWS_DEFAULT_REGION']?.trim() || (endpoint ? 'us-east-1' : '')
  const routes = config.routes ?? ownRoutes
  const targets = readTargets(env, reader, routes)
  const needsRegion = targets === undefined || usesSqs(targets, routes)
  const region = reader.read('AWS_REGION', otherwise, (text, fault) =>
    text !== '' || !needsRegion ? text : fault('is not set', 'write the region of your queues, such as eu-west-1'),
  )
  const api = readApiAccess(reader)
  const proxies = readProxies(env, reader)
  reader.check()
  // When there is no fault, every field that must have a value has one.
  return { ...config, targets, api, endpoint: endpoint || undefined, region, proxies } satisfies AsRead as RelayConfig
}

/** The API whose replays the relay drives. */
export type ApiAccess = {
  /** Without a slash at its end: `https://api.example.com`. */
  readonly url: string
  /** A token with the role `operate`. */
  readonly token: string
}

/** The characters of a bearer token. Source: RFC 6750, section 2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/

/** Reads `ENIGMA_API_URL` and `ENIGMA_API_TOKEN`; undefined when neither is set: the relay then drives no replays. */
export function readApiAccess(reader: EnvReader): ApiAccess | undefined {
  const url = reader.read('ENIGMA_API_URL', '', (text, fault) => {
    if (text === '') return ''
    if (!/^https?:\/\//.test(text) || !URL.canParse(text))
      return fault('is not an http:// or https:// URL', 'write the address of the API, such as https://api.example.com')
    const { username, search, hash } = new URL(text)
    if (username !== '' || search !== '' || hash !== '')
      return fault(
        'contains more than the address of the API',
        'write https://api.example.com, and the token into ENIGMA_API_TOKEN',
      )
    return text.replace(/\/+$/, '')
  })
  const token = reader.read('ENIGMA_API_TOKEN', '', (text, fault) => {
    if (text === '' && url !== undefined && url !== '')
      return fault('is not set', 'write a token with the role operate: the last part of its line in API_TOKENS')
    if (text !== '' && url === '')
      return fault(
        'is set without ENIGMA_API_URL',
        'write the address of the API into ENIGMA_API_URL, or leave both out',
      )
    if (text !== '' && !TOKEN.test(text))
      return fault(
        'contains characters that a token cannot have',
        'write only the token: the last part of its line in API_TOKENS',
      )
    return text
  })
  return url === undefined || url === '' || token === undefined || token === '' ? undefined : { url, token }
}
