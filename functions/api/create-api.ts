import { Hono } from 'hono'
import { etag } from 'hono/etag'
import { methodNotAllowed } from 'hono/method-not-allowed'
import type { Reads } from 'enigma-relay/store'
import { agents } from './agents.ts'
import { requireToken } from './auth.ts'
import { campaigns } from './campaigns.ts'
import { cdrs } from './cdrs.ts'
import { allowOrigins } from './cors.ts'
import type { DeadLetters } from './dead-letters/dead-letters.ts'
import { dialers } from './dialers.ts'
import { answerError, type Log, logToConsole } from './errors.ts'
import { gaps } from './gaps.ts'
import { health } from './health.ts'
import { openApi } from './openapi.ts'
import { other } from './other.ts'
import { parked } from './parked.ts'
import { problemResponse } from './problem.ts'
import { relays } from './relays.ts'

export type ApiOptions = {
  /** The read model's reads: `store.read`. */
  readonly read: Reads
  /** The bearer token that every request needs, but for /health; a function when it may change. There is no way to do without. */
  readonly token: string | (() => Promise<string>)
  /** The origins whose pages may read the API: several by commas, or `*`. Default: none. */
  readonly corsOrigin?: string
  /** What the functions put aside, for `GET /parked`. Default: said to be not configured. */
  readonly deadLetters?: DeadLetters | undefined
  /** Where unexpected errors are said, masked. Default: JSON lines on standard error. */
  readonly log?: Log
}

/** Headers that a 304 keeps, since a browser needs them to let the page read the answer. */
const KEPT_AT_304 = ['access-control-allow-origin', 'access-control-expose-headers', 'cache-control', 'etag', 'vary']

/**
 * The read API: `GET` only, JSON, errors as problem+json. It holds nothing but its options and runs wherever Hono does.
 *
 * @throws when the token or an origin cannot be used
 * @example
 * const app = createApi({ read: store.read, token: 'secret' })
 * await app.request('/agents/1002', { headers: { authorization: 'Bearer secret' } })
 */
export function createApi({ read, token, corsOrigin, deadLetters, log = logToConsole }: ApiOptions): Hono {
  const app = new Hono()
  app.onError(answerError(log))
  app.notFound((c) =>
    problemResponse('not-found', `There is no ${c.req.path} here; GET /openapi.json lists what there is.`),
  )

  if (corsOrigin !== undefined && corsOrigin.trim() !== '') app.use(allowOrigins(corsOrigin))
  app.route('/health', health(read))

  app.use(requireToken(token))
  app.use(methodNotAllowed({ app, onMethodNotAllowed: (_, methods) => notAllowed(methods) }))
  app.use(etag({ weak: true, retainedHeaders: KEPT_AT_304 }))
  app.use(async (c, next) => {
    await next()
    // Personal data: a browser may keep it, but must ask each time; nothing between may keep it.
    if (c.res.ok) c.res.headers.set('cache-control', 'private, no-cache')
  })
  app.route('/agents', agents(read))
  app.route('/campaigns', campaigns(read))
  app.route('/cdrs', cdrs(read))
  app.route('/dialers', dialers(read))
  app.route('/gaps', gaps(read))
  app.route('/other', other(read))
  app.route('/parked', parked(read, deadLetters))
  app.route('/relays', relays(read))
  app.get('/openapi.json', ...openApi(app))
  return app
}

function notAllowed(methods: readonly string[]): Response {
  const allow = methods.join(', ')
  return problemResponse('method-not-allowed', `Only ${allow} can be used here.`, { headers: { allow } })
}
