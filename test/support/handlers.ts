import { existsSync } from 'node:fs'
import {
  fromSqs,
  type App,
  type FromSqsOptions,
  type SqsBatchResponse,
  type SqsEvent,
  type LambdaContext,
} from '../../src/adapter/index.ts'
import type { Parked } from '../../src/protocol/index.ts'
import { keepErrorsQuiet } from '../../src/adapter/attempt.ts'
import { appFile } from '../../src/lambda/declarations.ts'
import { queueName, type Route } from '../../src/protocol/index.ts'
import type { Effect, Store } from '../../src/store/index.ts'
import { commitTo } from './commit.ts'
import { ROUTES } from './routes.ts'

export type HandlersOptions = Pick<FromSqsOptions<Effect>, 'postpone'> & {
  readonly store: Store
  /** Called with each parked notification. */
  readonly park?: (parked: Parked) => unknown
  /** The age (ms) at which a notification is stale. Default: that of the route. */
  readonly maxAgeMs?: number
  /** Middleware between the adapter and an app. It may answer a request itself. Default: runs the app. */
  readonly around?: (request: Request, run: () => Promise<Response>) => Promise<Response>
}

export type Handler = (event: SqsEvent, context?: LambdaContext) => Promise<SqsBatchResponse>

const ROOT = new URL('../../', import.meta.url)

/** Loads the apps of `functions/` and of the relay's notices with their routes, as `fromHttp` expects them. `around`: see `HandlersOptions`. */
export async function loadApps(around: NonNullable<HandlersOptions['around']> = (_request, run) => run()) {
  const files = ROUTES.all
    .map((route) => ({ route, url: new URL(appFile(route), ROOT) }))
    .filter(({ url }) => existsSync(url))
  return Promise.all(
    files.map(async ({ route, url }): Promise<{ readonly route: Route; readonly app: App }> => {
      const { app } = (await import(url.href)) as { app: App }
      keepErrorsQuiet(app)
      return { route, app: { fetch: (request, env) => around(request, async () => app.fetch(request, env)) } }
    }),
  )
}

/** Loads the same apps as Lambda handlers, by queue name. The options replace the read model and the other services that they use. */
export async function loadHandlers({ around, ...options }: HandlersOptions): Promise<ReadonlyMap<string, Handler>> {
  const apps = await loadApps(around)
  return new Map(apps.map(({ route, app }) => [queueName('enigma-', route), toHandler(route, app, options)]))
}

function toHandler(
  route: Route,
  app: App,
  { store, park, postpone, maxAgeMs = route.maxAgeMs }: Omit<HandlersOptions, 'around'>,
): Handler {
  return fromSqs<Effect>(app, {
    postpone,
    commit: commitTo(store, park),
    route: route.name,
    recall: (messageIds) => store.recall(messageIds),
    attempts: route.attempts,
    maxAgeMs,
    log: () => undefined,
  })
}
