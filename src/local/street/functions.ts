import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { functionFile, ROUTES, type Route } from '../../protocol/index.ts'
import type { Logger } from '../../runtime/index.ts'
import type { LambdaHandler } from '../lambda-event.ts'
import { createLambdaTrigger, type Invocation, type LambdaTrigger } from '../lambda-trigger.ts'
import { StreetError } from '../errors.ts'

/** The handler of each route, out of the folder `functions/`. @throws StreetError `dev.functions.invalid` */
export async function loadFunctions(folder: URL): Promise<ReadonlyMap<Route, LambdaHandler>> {
  const loaded = ROUTES.map(async (route): Promise<[Route, LambdaHandler]> => {
    const file = functionFile(route)
    const handler = (await load(folder, file))['handler']
    if (typeof handler === 'function') return [route, handler as LambdaHandler]
    throw new StreetError('dev.functions.invalid', `functions/${file} exports no function named handler`)
  })
  return new Map(await Promise.all(loaded))
}

/** A Hono app, or anything that answers requests. */
export type App = { fetch: (request: Request) => Response | Promise<Response> }

/** The app of `api.ts`, made of the environment as on Lambda. @throws StreetError `dev.functions.invalid` */
export async function loadApi(folder: URL): Promise<App> {
  const app = (await load(folder, 'api.ts'))['app']
  if (typeof app === 'object' && app !== null && 'fetch' in app) return app as App
  throw new StreetError('dev.functions.invalid', 'functions/api.ts exports no Hono app named app')
}

/** As in `settings.ts`, which the package does not carry: it is not imported. */
export type OwnSettings = {
  readonly variables?: Readonly<Record<string, string>>
  readonly parameters?: readonly string[]
}

/** What functions of the user's own need. @throws StreetError `dev.functions.invalid` */
export async function loadSettings(folder: URL): Promise<readonly OwnSettings[]> {
  return Object.values((await load(folder, 'settings.ts'))['SETTINGS'] as Readonly<Record<string, OwnSettings>>)
}

async function load(folder: URL, file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(new URL(file, folder).href)) as Record<string, unknown>
  } catch (cause) {
    throw new StreetError(
      'dev.functions.invalid',
      `functions/${file} cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
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
