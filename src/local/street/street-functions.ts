import { createAdaptorServer } from '@hono/node-server'
import type { Hono } from 'hono'
import type { Server } from 'node:http'
import type { App } from '../../adapter/index.ts'
import { appFile, readDeclarations } from '../../lambda/declarations.ts'
import { FunctionsError } from '../../settings/function-error.ts'
import { stayAlive } from '../../lambda/stay-alive.ts'
import type { DeclaredRoute, Route, Routes } from '../../protocol/index.ts'
import type { Logger, Release } from '../../runtime/index.ts'
import { createLambdaTrigger, type Invocation, type LambdaHandler } from '../lambda/lambda-trigger.ts'
import { LOCAL_AWS, type Queues } from '../local-aws.ts'
import { StreetError, wordsOf } from '../street-error.ts'
import type { Settings } from './street-settings.ts'

/** What the functions stand on. */
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

/** The functions behind the queues, and the read API, which does not listen yet. */
export type Loaded = { readonly handlers: ReadonlyMap<Route, LambdaHandler>; readonly api: Server }

/** The functions out of their sources, in this process; `root`: where `functions/` is. @throws StreetError */
export async function loadSources({ env, settings, declared, routes, queues, access }: Ground, root: URL) {
  // What was set for this run comes before what a declaration says.
  const places = { AWS_ENDPOINT_URL_SQS: queues.endpoint, ENIGMA_QUEUE_PREFIX: settings.relay.queuePrefix, ...access }
  Object.assign(env, ...declared.map(({ variables }) => variables), { ...env }, places)
  const handlers = await loadFunctions(root, routes)
  const { fetch } = await loadApp<Pick<Hono, 'fetch'>>(root, 'functions/api.ts')
  return { handlers, api: createAdaptorServer({ fetch }) as Server }
}

/** What the files of `functions/` declare. @throws StreetError `dev.functions.invalid` */
export async function readDeclared(root: URL | undefined): Promise<readonly DeclaredRoute[]> {
  try {
    return await readDeclarations(root)
  } catch (error) {
    if (!(error instanceof FunctionsError)) throw error
    throw new StreetError('dev.functions.invalid', error.message, { cause: error })
  }
}

/** A handler for each route, of the app that its file exports; `root`: where `functions/` is. @throws StreetError `dev.functions.invalid` */
export async function loadFunctions(root: URL, routes: Routes): Promise<ReadonlyMap<Route, LambdaHandler>> {
  const { toHandler } = await import('../../lambda/wiring.ts')
  stayAlive(undefined)
  const loaded = routes.all.map(async (route): Promise<[Route, LambdaHandler]> => {
    const file = appFile(route)
    const { handler } = await load(root, file)
    if (typeof handler === 'function') return [route, handler as LambdaHandler]
    return [route, toHandler(await loadApp<App>(root, file), route)]
  })
  return new Map(await Promise.all(loaded))
}

/** `A`: a Hono app, or anything that answers requests. */
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

/** A trigger for each function, on its queue. */
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
