import { createAdaptorServer } from '@hono/node-server'
import type { Hono } from 'hono'
import type { Server } from 'node:http'
import type { App } from '../../adapter/index.ts'
import { appFile, readDeclarations } from '../../lambda/declarations.ts'
import { FunctionsError } from '../../settings/function-settings.ts'
import type { DeclaredRoute, Route, Routes } from '../../protocol/index.ts'
import type { Logger, Release } from '../../runtime/index.ts'
import { createLambdaTrigger, type Invocation, type LambdaHandler } from '../lambda/lambda-trigger.ts'
import { LOCAL_AWS, type Queues } from '../local-aws.ts'
import { StreetError, wordsOf } from '../street-error.ts'
import type { Settings } from './street-settings.ts'

/** The parts and settings that functions need. */
export type Ground = {
  /** `process.env`. */
  readonly env: Record<string, string | undefined>
  readonly settings: Settings
  readonly declared: readonly DeclaredRoute[]
  readonly routes: Routes
  readonly queues: Queues
  /** The variables that give access to the read model and the API. */
  readonly access: Readonly<Record<string, string>>
  readonly folder: string
  readonly release: Release
}

/** The handlers behind the queues, and the server of the read API, which does not listen yet. */
export type Loaded = { readonly handlers: ReadonlyMap<Route, LambdaHandler>; readonly api: Server }

/** Loads the functions from their sources into this process. @param root the folder that contains `functions/`. @throws StreetError */
export async function loadSources({ env, settings, declared, routes, queues, access }: Ground, root: URL) {
  // Variables of this run override those of a declaration.
  const places = { AWS_ENDPOINT_URL_SQS: queues.endpoint, ENIGMA_QUEUE_PREFIX: settings.relay.queuePrefix, ...access }
  Object.assign(env, ...declared.map(({ variables }) => variables), { ...env }, places)
  const handlers = await loadFunctions(root, routes)
  const { fetch } = await loadApp<Pick<Hono, 'fetch'>>(root, 'functions/api.ts')
  return { handlers, api: createAdaptorServer({ fetch }) as Server }
}

/** Reads the declarations in `functions/`. @throws StreetError `dev.functions.invalid` */
export async function readDeclared(root: URL | undefined): Promise<readonly DeclaredRoute[]> {
  try {
    return await readDeclarations(root)
  } catch (error) {
    if (!(error instanceof FunctionsError)) throw error
    throw new StreetError('dev.functions.invalid', error.message, { cause: error })
  }
}

/** Loads the app of each route and makes a handler of it. @param root the folder that contains `functions/`. @throws StreetError `dev.functions.invalid` */
export async function loadFunctions(root: URL, routes: Routes): Promise<ReadonlyMap<Route, LambdaHandler>> {
  const { stayAlive, toHandler } = await import('../../lambda/wiring.ts')
  stayAlive(undefined)
  const loaded = routes.all.map(async (route): Promise<[Route, LambdaHandler]> => {
    const file = appFile(route)
    const { handler } = await load(root, file)
    if (typeof handler === 'function') return [route, handler as LambdaHandler]
    return [route, toHandler(await loadApp<App>(root, file), route)]
  })
  return new Map(await Promise.all(loaded))
}

/** Loads the app that a file exports: a Hono app, or any object that answers requests. */
async function loadApp<A>(root: URL, file: string): Promise<A> {
  const app = (await load(root, file))['app']
  if (typeof app === 'object' && app !== null && 'fetch' in app) return app as A
  throw new StreetError('dev.functions.invalid', `${file} exports no Hono app named app`)
}

async function load(root: URL, file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(new URL(file, root).href)) as Record<string, unknown>
  } catch (cause) {
    throw new StreetError('dev.functions.invalid', `${file} cannot be loaded: ${wordsOf(cause)}`, { cause })
  }
}

/** Creates a trigger for each function on its queue. */
export function createTriggers(
  { sqs, urls }: Queues,
  handlers: Loaded['handlers'],
  log: Logger,
  onInvocation: (route: Route, invocation: Invocation) => void,
) {
  return [...handlers].map(([route, handler]) => {
    const queueUrl = urls.get(route) as string
    const [account, name] = queueUrl.split('/').slice(-2)
    return createLambdaTrigger({
      sqs,
      queueUrl,
      queueArn: `arn:aws:sqs:${LOCAL_AWS.AWS_REGION}:${account}:${name}`,
      handler,
      functionName: route.name,
      timeoutMs: route.timeoutSeconds * 1_000,
      log,
      onInvocation: (invocation) => onInvocation(route, invocation),
    })
  })
}
