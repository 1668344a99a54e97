import { join } from 'node:path'
import type { Release } from '../../runtime/index.ts'
import type { LambdaHandler } from '../lambda-event.ts'
import type { DeclaredRoute, Route, Routes } from '../../protocol/index.ts'
import { listen, serveApi } from './api.ts'
import { loadBundles, packageStack } from './bundles.ts'
import type { DataDir } from './data-dir.ts'
import { StreetError } from '../errors.ts'
import { loadApi, loadFunctions } from './functions.ts'
import type { Queues } from './queues.ts'
import type { ReadModel } from './read-model.ts'
import type { Settings } from './settings.ts'
import type { StreetOptions } from './street.ts'

/** What the functions stand on. */
export type Place = {
  readonly settings: Settings
  readonly declared: readonly DeclaredRoute[]
  readonly routes: Routes
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
  { settings, declared, routes, queues, readModel, token, release }: Place,
  options: StreetOptions,
): Promise<Loaded> {
  // What was set for this run comes before what a declaration says.
  Object.assign(
    options.env,
    { ...ownVariables(declared), ...options.env },
    {
      AWS_ENDPOINT_URL_SQS: queues.endpoint,
      ENIGMA_QUEUE_PREFIX: settings.relay.queuePrefix,
      UPSTASH_REDIS_REST_URL: readModel.url,
      UPSTASH_REDIS_REST_TOKEN: readModel.token,
      ...tokens(settings, token, options.env),
    },
  )
  const root = options.root ?? ROOT
  const handlers = await loadFunctions(root, routes)
  return { handlers, apiUrl: await serveApi(await loadApi(root), settings.api, release), address: 'functions/' }
}

/** The functions out of the bundles that would be deployed, each in processes of its own, with the variables of the template. @throws StreetError */
export async function startBundles(
  { settings, declared, routes, queues, readModel, token, folder, release }: Place,
  options: StreetOptions,
  dataDir: DataDir,
): Promise<Loaded> {
  const { queuePrefix } = settings.relay
  const packaged = options.packaged ?? join(folder, 'package')
  if (options.packaged === undefined) await packageStack(packaged, queuePrefix)
  const { handlers, api } = await loadBundles({
    packaged,
    queuePrefix,
    routes,
    release,
    folder: join(folder, 'lambda'),
    sqsEndpoint: queues.endpoint,
    secrets: {
      ...ownSecrets(declared, options.env),
      UPSTASH_REDIS_REST_URL: readModel.url,
      UPSTASH_REDIS_REST_TOKEN: readModel.token,
      ...tokens(settings, token, options.env),
    },
    // Through the view, as what functions in this process print.
    onLine: (line) => console.log(line),
    onStart: (pid) => void dataDir.noteChild(pid),
  })
  return { handlers, apiUrl: await listen(api, settings.api, release), address: 'dist/functions/' }
}

const ownVariables = (declared: readonly DeclaredRoute[]): Record<string, string> =>
  Object.assign({}, ...declared.map(({ variables }) => variables)) as Record<string, string>

/** What Parameter Store would have for functions of the user's own. @throws StreetError `dev.parameters.missing` */
function ownSecrets(declared: readonly DeclaredRoute[], env: StreetOptions['env']): Record<string, string> {
  const names = declared.flatMap(({ secrets = [] }) => secrets)
  const missing = names.filter((name) => (env[name] ?? '') === '')
  if (missing.length > 0)
    throw new StreetError(
      'dev.parameters.missing',
      `functions/ declares the secrets ${missing.join(', ')}, which a deployed function takes from Parameter Store: set them for this run`,
    )
  return Object.fromEntries(names.map((name) => [name, env[name] ?? '']))
}

/** A token that is made for this run may change things as well: only who started it sees it. */
function tokens(settings: Settings, token: string, env: StreetOptions['env']): Record<string, string> {
  const own = env['API_TOKENS'] ?? ''
  if (settings.token !== undefined) return { API_TOKEN: token, API_TOKENS: own }
  return { API_TOKEN: '', API_TOKENS: `${own}\ndev:operate:${token}` }
}
