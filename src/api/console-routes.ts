import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { etag } from 'hono/etag'
import { type ApiEnv, refuseForeignWrites } from './auth.ts'
import { ApiError, notAllowed, problem, problemResponse } from './problems.ts'

/** Encodings of the compressed files, the best first. */
const ENCODINGS = ['br', 'gzip'] as const
export type ConsoleEncoding = (typeof ENCODINGS)[number]

/** The files of the console by name, as its build lists them in `files.json`. All names but `index.html` contain a hash of the content. */
export type ConsoleTable = Readonly<
  Record<string, { readonly type: string; readonly encodings: readonly ConsoleEncoding[] }>
>

export type ConsoleFiles = {
  /** Returns the table; called for each request. An empty table means that there is no console. */
  readonly table: () => Promise<ConsoleTable>
  /** Returns the bytes of a file, in an encoding that the table lists for it, or uncompressed. */
  readonly read: (name: string, encoding: ConsoleEncoding | undefined) => Promise<Uint8Array<ArrayBuffer>>
}

export type ConsoleOptions = ConsoleFiles & {
  /** Origins to which the page may connect besides the API's own, such as that of a function with `GET /events`. Default: none. */
  readonly connect?: readonly string[]
  /** Exchanges a one-time code for a token, at `POST /console/login`. Default: the page asks for the token. */
  readonly exchangeCode?: ExchangeCode | undefined
}

const INDEX = 'index.html'
const READS = ['GET', 'HEAD']
const KEPT_AT_304 = ['cache-control', 'etag', 'vary']

/** Returns the Content-Security-Policy, which allows only what the page needs. */
const policy = (connect: readonly string[]): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    ["connect-src 'self'", ...connect].join(' '),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')

/**
 * Creates the routes of the operators' console at `/console/`. They need no token, because the files are the same for everybody and contain
 * no data. `GET /` redirects there.
 *
 * @throws ApiError if `connect` contains a value that is not an origin
 */
export function createConsole(
  { table, read, connect = [], exchangeCode }: ConsoleOptions,
  origins: readonly string[] = [],
): Hono {
  const app = new Hono()
  // A malformed request gets the same answer as on every other path, after authentication.
  app.get('/', (c, next) => ((c.env as ApiEnv['Bindings'] | undefined)?.fault === undefined ? toConsole(c) : next()))
  app.use('/console/*', secure(connect))
  app.use('/console/*', etag({ weak: true, retainedHeaders: KEPT_AT_304 }))
  if (exchangeCode !== undefined) app.route('/console/login', createLogin(exchangeCode, origins))

  const serve = async (c: Context): Promise<Response> => {
    const name = c.req.param('name') ?? INDEX
    const known = await table()
    // Only files in the table are read, which prevents path traversal.
    const file = Object.hasOwn(known, name) ? known[name] : undefined
    if (file === undefined) return notFound(name, known)
    if (!READS.includes(c.req.method)) return notAllowed(READS)
    const accepted = accept(c.req.header('accept-encoding'))
    const encoding = accepted.find((one) => file.encodings.includes(one))
    c.header('content-type', file.type)
    c.header('cache-control', name === INDEX ? 'no-cache' : 'public, max-age=31536000, immutable')
    c.header('vary', 'accept-encoding', { append: true })
    if (encoding !== undefined) c.header('content-encoding', encoding)
    return c.body(await read(name, encoding))
  }
  app.all('/console', (c) => (READS.includes(c.req.method) ? toConsole(c) : notAllowed(READS)))
  app.all('/console/', serve)
  app.all('/console/:name', serve)
  app.all('/console/*', async (c) => notFound(c.req.path, await table()))
  return app
}

/** Redirects to a relative URL, which also works behind a proxy that adds a path prefix. */
const toConsole = (c: Context): Response => c.redirect('console/')

function notFound(name: string, table: ConsoleTable): Response {
  const isBuilt = Object.keys(table).length > 0
  return problemResponse(
    'not-found',
    isBuilt ? `The console has no file ${name}.` : 'This API has no console: run npm run build to create its files.',
  )
}

function secure(connect: readonly string[]): MiddlewareHandler {
  const wrong = connect.find((origin) => !URL.canParse(origin) || new URL(origin).origin !== origin)
  if (wrong !== undefined)
    throw new ApiError(
      'functions.console.bad_origin',
      `the console cannot connect to '${wrong}', which is not an origin; write only the scheme and host, such as https://events.example.com`,
    )
  const headers = {
    'content-security-policy': policy(connect),
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy': 'camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  }
  return async (c, next) => {
    await next()
    for (const [name, value] of Object.entries(headers)) c.res.headers.set(name, value)
  }
}

/** Returns the encodings that a client accepts, the best first. Source: RFC 9110, section 12.5.3. */
function accept(header = ''): ConsoleEncoding[] {
  const weights = new Map(
    header
      .toLowerCase()
      .split(',')
      .map((part) => {
        const [name = '', ...parameters] = part.split(';').map((text) => text.trim())
        const weight = parameters.find((parameter) => parameter.startsWith('q='))
        return [name, weight === undefined ? 1 : Number(weight.slice(2))]
      }),
  )
  return ENCODINGS.filter((encoding) => (weights.get(encoding) ?? weights.get('*') ?? 0) > 0)
}

/**
 * Returns the token for a code on the first call within the code's lifetime, otherwise undefined. The comparison takes the same time for
 * every input.
 */
export type ExchangeCode = (code: string) => string | undefined

const MAX_LOGIN_BYTES = 1_000

/**
 * Serves `POST /` with `{"code": "…"}`: returns the token for a one-time code. It rejects requests from pages of other origins than
 * its own and `origins`. Code and token are never logged.
 */
export function createLogin(exchangeCode: ExchangeCode, origins: readonly string[] = []): Hono {
  const app = new Hono()
  app.use(refuseForeignWrites(origins))
  app.use(
    bodyLimit({
      maxSize: MAX_LOGIN_BYTES,
      onError: () => problemResponse('bad-request', `The body is larger than ${MAX_LOGIN_BYTES} bytes.`),
    }),
  )
  app.post('/', async (c) => {
    const body: unknown = await c.req.json().catch(() => undefined)
    const code = typeof body === 'object' && body !== null && 'code' in body ? body.code : undefined
    if (typeof code !== 'string') throw problem('bad-request', 'The body must be a JSON object with the string code.')
    const token = exchangeCode(code)
    if (token === undefined)
      throw problem(
        'unauthorized',
        'The code is invalid, was already used, or has expired. Log in with a token instead.',
      )
    return c.json({ token }, 200, { 'cache-control': 'no-store' })
  })
  app.all('/', () => notAllowed(['POST']))
  return app
}
