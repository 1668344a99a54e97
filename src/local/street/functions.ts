import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { App } from '../../adapter/index.ts'
import { appFile, readDeclarations } from '../../lambda/declarations.ts'
import { FunctionsError } from '../../lambda/function-error.ts'
import { stayAlive } from '../../lambda/stay-alive.ts'
import type { DeclaredRoute, Route, Routes } from '../../protocol/index.ts'
import type { Logger } from '../../runtime/index.ts'
import type { LambdaHandler } from '../lambda-event.ts'
import { createLambdaTrigger, type Invocation, type LambdaTrigger } from '../lambda-trigger.ts'
import { StreetError } from '../errors.ts'

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

/** A Hono app, or anything that answers requests. */
export type ApiApp = { fetch: (request: Request) => Response | Promise<Response> }

/** The app of `functions/api.ts`, made of the environment as on Lambda. @throws StreetError `dev.functions.invalid` */
export const loadApi = (root: URL): Promise<ApiApp> => loadApp(root, 'functions/api.ts')

async function loadApp<A>(root: URL, file: string): Promise<A> {
  const app = (await load(root, file))['app']
  if (typeof app === 'object' && app !== null && 'fetch' in app) return app as A
  throw new StreetError('dev.functions.invalid', `${file} exports no Hono app named app`)
}

async function load(root: URL, file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(new URL(file, root).href)) as Record<string, unknown>
  } catch (cause) {
    throw new StreetError(
      'dev.functions.invalid',
      `${file} cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}

export type TriggersOptions = {
  readonly sqs: SQSClient
  readonly handlers: ReadonlyMap<Route, LambdaHandler>
  /** Of the queues. */
  readonly urls: ReadonlyMap<Route, string>
  readonly log: Logger
  readonly onInvocation: (route: Route, invocation: Invocation) => void
}

/** A trigger for each function, on its queue. */
export async function createTriggers({
  sqs,
  handlers,
  urls,
  log,
  onInvocation,
}: TriggersOptions): Promise<readonly LambdaTrigger[]> {
  return Promise.all(
    [...handlers].map(async ([route, handler]) => {
      const queueUrl = urls.get(route) as string
      const { Attributes } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] }),
      )
      return createLambdaTrigger({
        sqs,
        queueUrl,
        queueArn: Attributes?.['QueueArn'] as string,
        handler,
        functionName: route.name,
        timeoutMs: route.timeoutSeconds * 1_000,
        log,
        onInvocation: (invocation) => onInvocation(route, invocation),
      })
    }),
  )
}
