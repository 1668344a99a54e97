import { randomBytes } from 'node:crypto'
import { createRoutes, RELAY_ROUTES } from '../../protocol/index.ts'
import { sleep, withReleasers, type Logger, type Release } from '../../runtime/index.ts'
import { freePort } from '../free-port.ts'
import type { ScheduledHandler } from '../lambda-event.ts'
import { createCrew } from './crew.ts'
import { holdDataDir } from './data-dir.ts'
import { DIALLER_PORT, startCallCentre, startDialler, type CallCentre } from './dialler.ts'
import { readFigures, type Figures } from './figures.ts'
import { createTriggers, readDeclared } from './functions.ts'
import type { Part } from './part.ts'
import { startQueues } from './queues.ts'
import { startReadModel, type ReadModel } from './read-model.ts'
import { startRelay } from './relay.ts'
import { LOCAL_AWS, readSettings } from './settings.ts'
import { startBundles, startSources } from './start-functions.ts'
import { createWatch, type Handled } from './watch.ts'

export type StreetOptions = {
  /** `process.env`: the variables of the relay and the API are read from it, and those that the functions need are written to it. */
  readonly env: Record<string, string | undefined>
  /** Where all state is kept between runs; one street at a time. */
  readonly folder: string
  /** For what the relay and the triggers have to say. */
  readonly log: Logger
  /** The call centre to play. Default: none. Where ENIGMA_SOURCES names a real dialler none is played in any case. */
  readonly callCentre?: CallCentre | undefined
  /** The port of the dialler's Redis; another free one is taken when it is not free. Default 8001; 0: any. */
  readonly diallerPort?: number
  /** Runs the functions out of their bundles, each in processes of its own as on Lambda, and not out of their sources in this one. */
  readonly bundles?: boolean
  /** A packaged stack for `bundles`. Default: packaged anew. */
  readonly packaged?: string
  /** The folder that holds `functions/`, with a slash at its end. Default: the repository. */
  readonly root?: URL
  /** Called as each part runs. */
  readonly onPart?: (part: Part) => void
  /** Called for each notification that a function has had. It holds personal data. */
  readonly onHandled?: (handled: Handled) => void
}

/** The whole street on this machine: dialler's Redis → relay → SQS → functions → read model → API. */
export type Street = {
  /** The dialler's Redis; undefined where ENIGMA_SOURCES names it. */
  readonly diallerUrl: string | undefined
  /** Where the relay serves `/livez`, `/readyz` and `/metrics`. */
  readonly relayUrl: string
  readonly sqsEndpoint: string
  readonly readModel: ReadModel
  readonly api: { readonly url: string; readonly token: string }
  readFigures: () => Promise<Figures>
  /** Resolves when the street was stopped; rejects when a part fails. */
  readonly ended: Promise<void>
  /** Ends everything, each part before those that it needs. State is kept. */
  stop: () => Promise<void>
}

type Started = Omit<Street, 'ended' | 'stop'>

/**
 * Starts all parts; what was started is stopped when one does not start.
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
    const crew = createCrew(release)
    started.resolve(await startParts(options, release, crew))
    await Promise.race([stopping.promise, crew.failed])
  })
  ended.catch(started.reject)
  const street = await started.promise
  const stop = () => {
    stopping.resolve()
    return ended
  }
  return { ...street, ended, stop }
}

async function startParts(
  options: StreetOptions,
  release: Release,
  crew: ReturnType<typeof createCrew>,
): Promise<Started> {
  const { env, folder, log, callCentre, onPart = () => undefined } = options
  const settings = readSettings(env, folder)
  const declared = await readDeclared(options.root)
  const routes = createRoutes(declared)
  const dataDir = await holdDataDir(folder)
  release(() => dataDir.release())

  const dialler = await startDialler({ settings, port: options.diallerPort ?? DIALLER_PORT, folder, dataDir, release })
  onPart(dialler.part)
  const queues = await startQueues(folder, settings.relay.queuePrefix, routes, release)
  onPart({ name: 'SQS', address: queues.endpoint })
  const readModel = await startReadModel({ folder, dataDir, redisUrl: settings.redisUrl, release })
  onPart({ name: 'read model', address: readModel.url })

  const token = settings.token ?? randomBytes(16).toString('hex')
  // The relay takes its credentials from there, and functions in this process theirs.
  Object.assign(env, LOCAL_AWS)
  delete env['AWS_SESSION_TOKEN']
  const watch = createWatch(options.onHandled)
  const place = { settings, declared, routes, queues, readModel, token, folder, release }
  const loaded =
    options.bundles === true ? await startBundles(place, options, dataDir) : await startSources(place, options)
  for (const trigger of await createTriggers({ ...queues, handlers: loaded.handlers, log, onInvocation: watch.note }))
    crew.add((signal) => trigger.run(signal))
  const scheduled = loaded.handlers.get(RELAY_ROUTES.replay) as unknown as ScheduledHandler
  crew.add((signal) => drainRegularly(scheduled, log, signal))
  onPart({ name: 'functions', address: loaded.address, note: `${loaded.handlers.size}, each behind its queue` })
  onPart({
    name: 'read API',
    address: loaded.apiUrl,
    note: settings.token === undefined ? `Authorization: Bearer ${token}` : 'token: as API_TOKEN says',
  })

  const httpPort = await freePort(settings.relay.http.port)
  const config = settings.toRelayConfig({ diallerUrl: dialler.url ?? '', endpoint: queues.endpoint, httpPort })
  const { relay, url: relayUrl } = await startRelay({ config, routes, log }, crew)
  onPart({ name: 'relay', address: relayUrl, note: 'serves /livez, /readyz and /metrics' })

  if (callCentre !== undefined && dialler.url !== undefined) onPart(startCallCentre(callCentre, dialler.url, crew))
  else
    onPart({
      name: 'call centre',
      address: 'none',
      note: callCentre === undefined ? "write to the dialler's Redis yourself" : 'ENIGMA_SOURCES names a real dialler',
    })

  return {
    diallerUrl: dialler.url,
    relayUrl,
    sqsEndpoint: queues.endpoint,
    readModel,
    api: { url: loaded.apiUrl, token },
    readFigures: () =>
      readFigures({ routes, metrics: relay.metrics, watch, countParked: () => countParked(loaded.apiUrl, token) }),
  }
}

/** More often than on AWS: nobody waits for minutes here. */
const DRAIN_MS = 10_000

/** The schedule of the function that parks dead letters. */
async function drainRegularly(handler: ScheduledHandler, log: Logger, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(DRAIN_MS, signal)
    if (signal.aborted) return
    await handler({ source: 'aws.events' }).catch((error: unknown) =>
      log.error(
        {
          code: 'dev.function.threw',
          function: RELAY_ROUTES.replay.name,
          error: error instanceof Error ? error.name : typeof error,
        },
        'the function that parks dead letters threw an error; the next attempt follows',
      ),
    )
  }
}

/** How many notifications functions have parked, as the API says. */
async function countParked(apiUrl: string, token: string): Promise<number> {
  const response = await fetch(`${apiUrl}/parked?limit=1`, { headers: { authorization: `Bearer ${token}` } })
  const { functions } = (await response.json()) as { readonly functions?: { readonly total: number } }
  return functions?.total ?? 0
}
