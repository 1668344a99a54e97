import { Hono, type MiddlewareHandler } from 'hono'
import { createConsole, type ConsoleOptions } from './console-routes.ts'
import { answerError, type Log, logToConsole, notAllowed, problem, problemResponse } from './problems.ts'
import { getRuntimeKey } from 'hono/adapter'
import { compress } from 'hono/compress'
import { etag } from 'hono/etag'
import { methodNotAllowed } from 'hono/method-not-allowed'
import type { AbandonRule, Reads } from '../store/index.ts'
import { agents, campaigns, dialers, kinds, other } from './state-routes.ts'
import { type ApiEnv, requireToken, type TokenSources } from './auth.ts'
import { bin } from './bin-routes.ts'
import { cdrs, missing } from './cdr-routes.ts'
import { changes, events, type EventsOptions } from './change-routes.ts'
import { gaps, relays, config, health, queues, type ReadQueues } from './service-routes.ts'
import { confirmations, type ConfirmationsOptions } from './confirmation-routes.ts'
import { openApi } from './openapi.ts'
import { maskAnswers } from './mask.ts'
import { allowOrigins, parseOrigins, refuseForeignWrites } from './origins.ts'
import { parked } from './parked-routes.ts'
import type { OperateOptions } from './operate.ts'
import { nextRounds } from './next-round.ts'
import { replays } from './replay-routes.ts'
import { ABANDON_RULE, wall } from './wall-routes.ts'

export type ApiOptions = {
  /** The read model's reads: `store.read`. */
  readonly read: Reads
  /** One bearer token with the role `read`, as `API_TOKEN` has it; a function when it may change. */
  readonly token?: TokenSources['token']
  /** Several of them, as `API_TOKENS` has them: a line `name:role:token` for each. Every request but `/health` needs one of either. */
  readonly tokens?: TokenSources['tokens']
  /** The origins whose pages may read the API: several by commas, or `*`. Default: none. */
  readonly corsOrigin?: string
  /** How replays are started, and by whom they are driven. Default: they are answered with 503. */
  readonly replay?: OperateOptions
  /** How `GET /events` streams changes. Default: not at all, since a platform may charge each second of a stream. */
  readonly events?: EventsOptions
  /** How requests wait at `GET /confirmations`. */
  readonly confirmations?: ConfirmationsOptions
  /** Reads how many messages each queue holds. Default: `GET /queues` is answered with 404. */
  readonly queues?: ReadQueues
  /** The operators' console, served at `/console/`. Default: none. */
  readonly console?: ConsoleOptions
  /** Where else changes are streamed, with the same tokens: an absolute URL, which `GET /config` passes on. Default: `/events` of this API, if it streams. */
  readonly eventsUrl?: string
  /** `events`: everything but `GET /events` is answered with 404, as for a function that only streams. Default: the whole API. */
  readonly only?: 'events'
  /** Which calls count as abandoned. Default: CDRs without an extension that ended with `hungup` or `callee_hungup`, of those and the answered ones; 3 % at most. */
  readonly abandoned?: Partial<AbandonRule>
  /** Unix ms. Default `Date.now`. */
  readonly now?: () => number
  /** Writes unexpected errors, masked. Default: JSON lines on standard error. */
  readonly log?: Log
}

/** Headers that a 304 keeps, since a browser needs them to let the page read the answer. */
const KEPT_AT_304 = ['access-control-allow-origin', 'access-control-expose-headers', 'cache-control', 'etag', 'vary']

/**
 * The API: reads and replays, JSON, errors as problem+json. It holds nothing but its options and runs wherever Hono does.
 *
 * @throws ApiError when a token or an origin cannot be used
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
  // It goes on for minutes: neither an ETag nor a copy can be made of it.
  app.route(EVENTS_PATH, events(read, eventsOptions, now))
  // Thousands of agents are 300 kB, and 12 kB compressed; whoever asks every two seconds pays for each. Cloudflare compresses answers itself, by their
  // content-encoding: https://developers.cloudflare.com/workers/runtime-apis/response/
  if (getRuntimeKey() !== 'workerd') app.use('/wall', compress())
  app.use(etag({ weak: true, retainedHeaders: KEPT_AT_304 }))
  app.use(async (c, next) => {
    await next()
    // Personal data: a browser may keep it, but must ask each time; nothing between may keep it.
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

/** Endpoints that are added to the app later are refused too. */
const refuseOtherPaths: MiddlewareHandler = async (c, next) => {
  if (c.req.path !== EVENTS_PATH)
    throw problem('not-found', `The path ${c.req.path} does not exist; this API serves only ${EVENTS_PATH}.`)
  await next()
}

/** The origin of an address on another one; none of a path. */
const originOf = (url = ''): readonly string[] => (URL.canParse(url) ? [new URL(url).origin] : [])

const hasBody = (headers: Headers): boolean =>
  headers.has('transfer-encoding') || Number(headers.get('content-length') ?? 0) !== 0

/** Answers what is wrong with a request itself, once it is known who sent it. */
const refuseFaults: MiddlewareHandler<ApiEnv> = async (c, next) => {
  // Where there is no platform, there is no environment.
  const fault = (c.env as ApiEnv['Bindings'] | undefined)?.fault
  if (fault !== undefined) throw problem(fault.code, fault.detail)
  const { method } = c.req
  if ((method === 'GET' || method === 'HEAD') && hasBody(c.req.raw.headers))
    throw problem('bad-request', `A ${method} request must not have a body; send parameters in the query string.`)
  await next()
}
