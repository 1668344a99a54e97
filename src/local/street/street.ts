import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Fault } from '../../lambda/faults.ts'
import { createRoutes, RELAY_ROUTES } from '../../protocol/index.ts'
import { readConfig } from '../../relay/index.ts'
import {
  withReleasers,
  ConfigError,
  createEnvReader,
  type Env,
  type Logger,
  type Release,
  type EnvFault,
} from '../../runtime/index.ts'
import { SIMULATOR_LISTS, type CallCentre } from '../../simulator/simulator.ts'
import { runOnSchedule, type ScheduledHandler } from '../lambda/lambda-trigger.ts'
import { LOCAL_AWS, startQueues } from '../local-aws.ts'
import { freePort, noteMoved } from '../servers.ts'
import { loadBundles } from './bundles.ts'
import {
  createBackground,
  startCallCentre,
  startDialler,
  startReadModel,
  startRelay,
  holdDataDir,
  type Background,
  type Part,
} from './parts.ts'
import { addConsole, bundledConsole, countParked, createLoginCode, serveApi, toTokenVariables } from './street-api.ts'
import { createWatch, readFigures, type Handled } from './street-figures.ts'
import { createTriggers, loadEdge, loadSources, readDeclared, setFaults } from './street-functions.ts'

export type StreetOptions = {
  /** `process.env`: the variables of the relay and the API are read from it, and those that the functions need are written to it. */
  readonly env: Record<string, string | undefined>
  /** Folder of all state. Only one street at a time can use it. */
  readonly folder: string
  /** Log of the relay and the triggers. */
  readonly log: Logger
  /** The call centre to simulate. Default: none. If ENIGMA_SOURCES names a real dialler, none is simulated. */
  readonly callCentre?: CallCentre | undefined
  /** The port of the dialler's Redis. If it is in use, another free one is chosen. Default 8001; 0: any. */
  readonly diallerPort?: number
  /** Whether functions run from their bundles, each in processes of its own as on Lambda, instead of from sources in this process. */
  readonly bundles?: boolean
  /** Whether functions and API run on workerd and receive notifications over HTTP, without SQS and Lambda. */
  readonly edge?: boolean
  /** Folder of a packaged stack for `bundles`. Default: package it now. */
  readonly packaged?: string
  /** The folder that contains `functions/`, with a slash at its end. Default: the repository. */
  readonly root?: URL
  /** Simulated faults of handlers. An unknown route throws StreetError `dev.fail.unknown_route`. */
  readonly faults?: readonly Fault[]
  /** Called when a part is running. */
  readonly onPart?: (part: Part) => void
  /** Called for each notification that a function received. It contains personal data. */
  readonly onHandled?: (handled: Handled) => void
}

type Started = Awaited<ReturnType<typeof startParts>>

/** The whole system on this machine: dialler's Redis → relay → SQS (or HTTP) → functions → read model → API. */
export type Street = Started & {
  /** Resolves when the street has stopped. Rejects when a part fails. */
  readonly ended: Promise<void>
  /** Stops every part before the parts that it needs. State is kept. */
  stop: () => Promise<void>
}

/**
 * Starts all parts. If one does not start, it stops the others again.
 *
 * @throws ConfigError, StreetError or RelayError
 * @example
 * const street = await startStreet({ env: process.env, folder: '.enigma', log: createLog('warn') })
 * await fetch(`${street.api.url}/agents`, { headers: { authorization: `Bearer ${street.api.token}` } })
 * await street.stop()
 */
export async function startStreet(options: StreetOptions): Promise<Street> {
  const started = Promise.withResolvers<Started>()
  const stopping = Promise.withResolvers<void>()
  const ended = withReleasers(async (release) => {
    const background = createBackground(release)
    started.resolve(await startParts(options, release, background))
    await Promise.race([stopping.promise, background.failed])
  })
  ended.catch(started.reject)
  const street = await started.promise
  const stop = () => {
    stopping.resolve()
    return ended
  }
  return { ...street, ended, stop }
}

/** The repository. */
const ROOT = new URL('../../../', import.meta.url)

/** The port of a real dialler's Redis. */
const DIALLER_PORT = 8001

async function startParts(options: StreetOptions, release: Release, background: Background) {
  const { env, folder, log, callCentre, onPart = () => undefined } = options
  const settings = readSettings(env, folder)
  const declared = await readDeclared(options.root)
  const routes = createRoutes(declared)
  setFaults(env, options.faults ?? [], routes)
  const dataDir = await holdDataDir(folder)
  release(() => dataDir.release())

  const place = { folder, dataDir, release }
  const dialler = await startDialler(settings, options.diallerPort ?? DIALLER_PORT, place)
  onPart(dialler.part)
  const queues =
    options.edge === true ? undefined : await startQueues(folder, settings.relay.queuePrefix, routes, release)
  if (queues !== undefined) onPart({ name: 'SQS', address: queues.endpoint })
  const readModel = await startReadModel(settings.redisUrl, place)
  onPart({ name: 'read model', address: readModel.url })

  const token = settings.token ?? randomBytes(16).toString('hex')
  // The relay, and functions in this process, read their credentials from the environment.
  Object.assign(env, LOCAL_AWS)
  delete env['AWS_SESSION_TOKEN']
  const watch = createWatch(options.onHandled)
  const access = {
    UPSTASH_REDIS_REST_URL: readModel.url,
    UPSTASH_REDIS_REST_TOKEN: readModel.token,
    ...toTokenVariables(settings, token, env),
  }
  const root = options.root ?? ROOT
  const ground = { env, settings, declared, routes, access, folder, release }
  const { api, ...functions } =
    queues === undefined
      ? await loadEdge({ ...ground, clone: ROOT, root, faults: options.faults ?? [], watch })
      : options.bundles === true
        ? await loadBundles({ ...ground, queues }, options.packaged, dataDir)
        : await loadSources({ ...ground, queues }, root)
  // A packaged API already contains the console's files.
  const login = settings.token === undefined ? createLoginCode(token) : undefined
  addConsole(api, login?.exchange, options.bundles === true ? undefined : bundledConsole(ROOT))
  const apiUrl = await serveApi(api, settings, release)
  if (queues !== undefined && 'handlers' in functions) {
    const { handlers } = functions
    for (const { run } of createTriggers(queues, handlers, log, watch.noteInvocation)) background.run(run)
    const scheduled = handlers.get(RELAY_ROUTES.replay) as unknown as ScheduledHandler
    background.run((signal) => runOnSchedule(() => scheduled({ source: 'aws.events' }), log, signal))
    const address = options.bundles === true ? 'dist/functions/' : 'functions/'
    onPart({ name: 'functions', address, note: `${handlers.size}, each behind its queue` })
  } else if ('maintain' in functions) {
    background.run((signal) => runOnSchedule(functions.maintain, log, signal))
    onPart({ name: 'functions', address: 'functions/', note: 'on workerd, behind HTTP' })
  }
  const note = settings.token === undefined ? `Authorization: Bearer ${token}` : 'token: from API_TOKEN'
  onPart({ name: 'read API', address: apiUrl, note: note + noteMoved(settings.api.port, Number(new URL(apiUrl).port)) })

  const httpPort = await freePort(settings.relay.http.port)
  const target = 'toTarget' in functions ? functions.toTarget(apiUrl) : { AWS_ENDPOINT_URL_SQS: queues?.endpoint }
  const config = settings.toRelayConfig({ diallerUrl: dialler.url ?? '', target, httpPort })
  const { relay, url: relayUrl } = await startRelay({ config, routes, log }, background)
  const healthNote = noteMoved(settings.relay.http.port, httpPort)
  onPart({ name: 'relay', address: relayUrl, note: `serves /livez, /readyz and /metrics${healthNote}` })

  const reason =
    callCentre === undefined ? "write to the dialler's Redis yourself" : 'ENIGMA_SOURCES names a real dialler'
  if (callCentre !== undefined && dialler.url !== undefined)
    onPart(startCallCentre(callCentre, dialler.url, background))
  else onPart({ name: 'call centre', address: 'none', note: reason })

  return {
    /** The dialler's Redis. Undefined if ENIGMA_SOURCES names the dialler. */
    diallerUrl: dialler.url,
    /** The address at which the relay serves `/livez`, `/readyz` and `/metrics`. */
    relayUrl,
    readModel,
    api: { url: apiUrl, token },
    /** The address of the operators' console. If the street created the token, it contains a code that works once, within ten minutes. */
    consoleUrl: `${apiUrl}/console/${login === undefined ? '' : `#code=${login.code}`}`,
    readFigures: () =>
      readFigures({ routes, metrics: relay.metrics, watch, countParked: () => countParked(apiUrl, token) }),
  }
}

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
      // Not the default of a relay: one that is started in the clone would take over the simulated notifications.
      ENIGMA_DATA_DIR: join(folder, 'dev-relay'),
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
    /** REDIS_URL: a Redis server to use as the dialler's instead of starting one. */
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
