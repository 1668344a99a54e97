import { join } from 'node:path'
import type { Release } from '../../runtime/index.ts'
import type { LambdaHandler } from '../lambda-event.ts'
import type { Route } from '../../protocol/index.ts'
import { listen, serveApi } from './api.ts'
import { loadBundles, packageStack } from './bundles.ts'
import type { DataDir } from './data-dir.ts'
import { StreetError } from '../errors.ts'
import { loadApi, loadFunctions, loadSettings, type OwnSettings } from './functions.ts'
import type { Queues } from './queues.ts'
import type { ReadModel } from './read-model.ts'
import type { Settings } from './settings.ts'
import type { StreetOptions } from './street.ts'

/** What the functions stand on. */
export type Place = {
  readonly settings: Settings
  readonly queues: Queues
  readonly readModel: ReadModel
  readonly token: string
  readonly folder: string
  readonly release: Release
}

const ROOT = new URL('../../../', import.meta.url)

export type Loaded = {
  readonly handlers: ReadonlyMap<Route, LambdaHandler>
  readonly apiUrl: string
  readonly address: string
}

/** The functions out of their sources, in this process. @throws StreetError */
export async function startSources(
  { settings, queues, readModel, token, release }: Place,
  options: StreetOptions,
): Promise<Loaded> {
  // Before the functions are loaded, which may read them at once. What was set for this run comes before functions/settings.ts.
  Object.assign(
    options.env,
    { ...ownVariables(await loadSettings(ROOT)), ...options.env },
    {
      AWS_ENDPOINT_URL_SQS: queues.endpoint,
      ENIGMA_QUEUE_PREFIX: settings.relay.queuePrefix,
      UPSTASH_REDIS_REST_URL: readModel.url,
      UPSTASH_REDIS_REST_TOKEN: readModel.token,
      API_TOKEN: token,
    },
  )
  const root = options.root ?? ROOT
  const handlers = await loadFunctions(root)
  return { handlers, apiUrl: await serveApi(await loadApi(root), settings.api, release), address: 'functions/' }
}

/** The functions out of the bundles that would be deployed, each in processes of its own, with the variables of the template. @throws StreetError */
export async function startBundles(
  { settings, queues, readModel, token, folder, release }: Place,
  options: StreetOptions,
  dataDir: DataDir,
): Promise<Loaded> {
  const { queuePrefix } = settings.relay
  const packaged = options.packaged ?? join(folder, 'package')
  if (options.packaged === undefined) await packageStack(packaged, queuePrefix)
  const { handlers, api } = await loadBundles({
    packaged,
    queuePrefix,
    release,
    folder: join(folder, 'lambda'),
    sqsEndpoint: queues.endpoint,
    secrets: {
      ...ownSecrets(await loadSettings(ROOT), options.env),
      UPSTASH_REDIS_REST_URL: readModel.url,
      UPSTASH_REDIS_REST_TOKEN: readModel.token,
      API_TOKEN: token,
      API_TOKENS: options.env['API_TOKENS'] ?? '',
    },
    // Through the view, as what functions in this process print.
    onLine: (line) => console.log(line),
    onStart: (pid) => void dataDir.noteChild(pid),
  })
  return { handlers, apiUrl: await listen(api, settings.api, release), address: 'dist/functions/' }
}

const ownVariables = (settings: readonly OwnSettings[]): Record<string, string> =>
  Object.assign({}, ...settings.map(({ variables }) => variables)) as Record<string, string>

/** What Parameter Store would have for functions of the user's own. @throws StreetError `dev.parameters.missing` */
function ownSecrets(settings: readonly OwnSettings[], env: StreetOptions['env']): Record<string, string> {
  const names = settings.flatMap(({ parameters = [] }) => parameters)
  const missing = names.filter((name) => (env[name] ?? '') === '')
  if (missing.length > 0)
    throw new StreetError(
      'dev.parameters.missing',
      `functions/settings.ts names ${missing.join(', ')}, which a deployed function takes from Parameter Store: set it for this run`,
    )
  return Object.fromEntries(names.map((name) => [name, env[name] ?? '']))
}
