import { Hono, type MiddlewareHandler } from 'hono'
import { getRuntimeKey } from 'hono/adapter'
import { compress } from 'hono/compress'
import { etag } from 'hono/etag'
import { methodNotAllowed } from 'hono/method-not-allowed'
import type { AbandonRule, Reads } from '../store/index.ts'
import {
  allowOrigins,
  type ApiEnv,
  parseOrigins,
  refuseForeignWrites,
  requireToken,
  type TokenSources,
} from './auth.ts'
import { bin } from './bin-routes.ts'
import { cdrs, missing } from './cdr-routes.ts'
import { changes, events, type EventsOptions } from './change-routes.ts'
import { confirmations, type ConfirmationsOptions } from './confirmation-routes.ts'
import { type ConsoleOptions, createConsole } from './console-routes.ts'
import { config, gaps, health, queues, type ReadQueues, relays } from './health-routes.ts'
import { maskAnswers } from './mask.ts'
import { nextRounds } from './next-round.ts'
import { openApi } from './openapi.ts'
import type { OperateOptions } from './operate.ts'
import { parked } from './parked-routes.ts'
import { answerError, type Log, logToConsole, notAllowed, problem, problemResponse } from './problems.ts'
import { replays } from './replay-routes.ts'
import { ABANDON_RULE, agents, campaigns, dialers, kinds, other, wall } from './state-routes.ts'

/* The API as a Hono app. It runs wherever Hono does. */
export { parseTokens, ROLES, type ApiEnv, type ApiToken, type Role } from './auth.ts'
export type { ConsoleEncoding, ConsoleFiles, ConsoleOptions, ConsoleTable } from './console-routes.ts'
export type { OperateOptions } from './operate.ts'
export { ApiError, logToConsole as logApi, problemResponse, type Log as LogApi } from './problems.ts'
export { createReplayApp, listMissing, MISSING_MS, relayFunctions } from './relay-functions.ts'
export { findLost, runReplay, type QueuedMessage, type RunReplayOptions, type SendParked } from './run-replay.ts'
export type { ReadQueues } from './health-routes.ts'

export type ApiOptions = {
  /** The reads of the read model: `store.read`. */
  readonly read: Reads
  /** One bearer token with the role `read` (`API_TOKEN`); a function if it may change. */
  readonly token?: TokenSources['token']
  /** Several tokens, one line `name:role:token` each (`API_TOKENS`). Every request except `/health` needs a token of either setting. */
  readonly tokens?: TokenSources['tokens']
  /** The origins whose pages may read the API, separated by commas, or `*`. Default: none. */
  readonly corsOrigin?: string
  /** How replays are started, and what drives them. Default: `POST /replays` is answered with 503. */
  readonly replay?: OperateOptions
  /** How `GET /events` streams changes. Default: no streams, because a platform may charge for each second of a stream. */
  readonly events?: EventsOptions
  /** How requests wait at `GET /confirmations`. */
  readonly confirmations?: ConfirmationsOptions
  /** Returns the number of messages in each queue. Default: `GET /queues` is answered with 404. */
  readonly queues?: ReadQueues
  /** The operators' console, served at `/console/`. Default: none. */
  readonly console?: ConsoleOptions
  /**
   * The address of another stream of changes that accepts the same tokens: an absolute URL, which `GET /config` returns. Default: `/events`
   * of this API, if it streams.
   */
  readonly eventsUrl?: string
  /**
   * `events`: serves only `GET /events`, and answers everything else with 404, for a function that only streams. Default: the whole API.
   */
  readonly only?: 'events'
  /**
   * Which calls count as abandoned. Default: CDRs without an extension that ended with `hungup` or `callee_hungup`, as a share of those and
   * the answered calls; threshold 3 %.
   */
  readonly abandoned?: Partial<AbandonRule>
  /** Returns Unix ms. Default `Date.now`. */
  readonly now?: () => number
  /** Writes unexpected errors, masked. Default: JSON lines on standard error. */
  readonly log?: Log
}

/** Headers that a 304 keeps, because browsers need them to let the page read the response. */
const KEPT_AT_304 = ['access-control-allow-origin', 'access-control-expose-headers', 'cache-control', 'etag', 'vary']

/**
 * Creates the API: reads and replays as JSON, errors as problem+json. It holds no state except short-lived caches, and runs wherever Hono
 * does.
 *
 * @throws ApiError if a token or an origin is invalid
 * @example
 * const token = 'c0ffee…' // openssl rand -hex 32
 * const app = createApi({ read: store.read, token })
 * await app.request('/agents/1002', { headers: { authorization: `Bearer ${token}` } })
 */
export function createApi({
  read,
  token,
  tokens,
  corsOrigin,
  replay,
  events: eventsOptions,
  confirmations: confirmationsOptions,
  queues: readQueues,
  console: consoleOptions,
  eventsUrl = eventsOptions && EVENTS_PATH,
  only,
  abandoned,
  now = Date.now,
  log = logToConsole,
}: ApiOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>()
  app.onError(answerError(log))
  app.notFound((c) =>
    problemResponse('not-found', `The path ${c.req.path} does not exist; GET /openapi.json lists all paths.`),
  )

  const origins = parseOrigins(corsOrigin)
  if (origins.length > 0) app.use(allowOrigins(origins))
  if (only === 'events') app.use(refuseOtherPaths)
  app.route('/health', health(read, now))
  if (consoleOptions !== undefined) {
    app.use('/console/*', refuseFaults)
    const connect = [...(consoleOptions.connect ?? []), ...originOf(eventsUrl)]
    app.route('/', createConsole({ ...consoleOptions, connect }, origins))
  }

  app.use(requireToken({ token, tokens }))
  app.use(refuseFaults)
  app.use(refuseForeignWrites(origins))
  app.use(methodNotAllowed({ app, onMethodNotAllowed: (_, methods) => notAllowed(methods) }))
  // Registered before the ETag and the cache control below, because a stream lasts for minutes and cannot be cached.
  app.route(EVENTS_PATH, events(read, eventsOptions, now))
  // Thousands of agents take 300 kB, or 12 kB compressed, and a page polls every two seconds. Cloudflare compresses responses itself,
  // according to their content-encoding: https://developers.cloudflare.com/workers/runtime-apis/response/
  if (getRuntimeKey() !== 'workerd') app.use('/wall', compress())
  app.use(etag({ weak: true, retainedHeaders: KEPT_AT_304 }))
  app.use(async (c, next) => {
    await next()
    // The answers contain personal data: a browser may store them but must revalidate each time, and no shared cache may store them.
    if (c.res.ok) c.res.headers.set('cache-control', 'private, no-cache')
  })
  app.use(maskAnswers)
  app.route('/agents', agents(read))
  app.route('/campaigns', campaigns(read))
  app.route('/cdrs', cdrs(read))
  app.route('/changes', changes(read))
  app.route(
    '/config',
    config({
      events: eventsUrl ?? null,
      replays: replay !== undefined,
      dead_letters: replay?.drain !== undefined,
    }),
  )
  app.route('/confirmations', confirmations(read, confirmationsOptions))
  app.route('/dialers', dialers(read))
  app.route('/gaps', gaps(read))
  app.route('/kinds', kinds(read))
  app.route('/missing', missing(read))
  app.route('/other', other(read))
  app.route('/parked', parked(read, replay, now))
  app.route('/', bin(read, replay, now))
  app.route('/queues', queues(readQueues, now))
  app.route('/relays', relays(read))
  app.route('/replays/next', nextRounds(read, replay, now))
  app.route('/replays', replays(read, replay, now))
  app.route('/wall', wall(read, { ...ABANDON_RULE, ...abandoned }, now))
  app.get('/openapi.json', ...openApi(app))
  return app
}

const EVENTS_PATH = '/events'

/** Also rejects requests to endpoints that are added to the app later. */
const refuseOtherPaths: MiddlewareHandler = async (c, next) => {
  if (c.req.path !== EVENTS_PATH)
    throw problem('not-found', `The path ${c.req.path} does not exist; this API serves only ${EVENTS_PATH}.`)
  await next()
}

/** Returns the origin of an absolute address; none for a path. */
const originOf = (url = ''): readonly string[] => (URL.canParse(url) ? [new URL(url).origin] : [])

const hasBody = (headers: Headers): boolean =>
  headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) !== 0

/** Rejects a malformed request, after the caller is identified. */
const refuseFaults: MiddlewareHandler<ApiEnv> = async (c, next) => {
  // Without a platform, there is no environment.
  const fault = (c.env as ApiEnv['Bindings'] | undefined)?.fault
  if (fault !== undefined) throw problem(fault.code, fault.detail)
  const { method } = c.req
  if ((method === 'GET' || method === 'HEAD') && hasBody(c.req.raw.headers))
    throw problem('bad-request', `A ${method} request must not have a body; send parameters in the query string.`)
  await next()
}
