import type { MiddlewareHandler } from 'hono'
import { bearerAuth } from 'hono/bearer-auth'
import { cors } from 'hono/cors'
import { timingSafeEqual } from 'hono/utils/buffer'
import { ApiError, problem, type ProblemCode, problemResponse } from './problems.ts'

/* Access to the API: callers are identified by their tokens, and pages in a browser by their origins. */

/**
 * What a caller may do. `read`: read everything. `masked`: read everything with personal data masked, and not search by it. `operate`: read
 * everything, and make changes.
 */
export const ROLES = ['read', 'masked', 'operate'] as const
export type Role = (typeof ROLES)[number]

/** The sender of a request, known by its token. */
export type Caller = { readonly name: string; readonly role: Role }

export type ApiToken = Caller & { readonly token: string }

/** The values of the two settings. Each may be '' or absent, but not both. */
export type TokenSettings = {
  /** `API_TOKEN`: one token with the role `read`, under the name `api-token`. */
  readonly token?: string | undefined
  /** `API_TOKENS`: one line `name:role:token` per token. */
  readonly tokens?: string | undefined
}

const SHORT_NAME = 'api-token'

/** The characters of a bearer token. Source: `b64token` in RFC 6750, section 2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** The number of hexadecimal digits of 128 bits. */
const MIN_TOKEN_CHARACTERS = 32

/** While a token is being replaced, the old and the new one are valid. */
const MAX_TOKENS_PER_NAME = 2

const MAKE = '`openssl rand -hex 32` creates one'

type Line = ApiToken & { readonly at: string }

/**
 * Parses the tokens of both settings. Ignores blank lines, lines that begin with `#`, and spaces around each part.
 *
 * @throws ApiError with all faults at once. It quotes no part of a line, because in a line with its parts in the wrong order, any of them
 * may be the token
 */
export function parseTokens({ token = '', tokens = '' }: TokenSettings): readonly ApiToken[] {
  const faults: string[] = []
  const lines: Line[] = []
  const short = token.trim()
  if (short !== '') lines.push({ at: 'API_TOKEN', name: SHORT_NAME, role: 'read', token: short })
  for (const [index, text] of tokens.split(/\r\n|\r|\n/).entries()) {
    const line = text.trim()
    if (line === '' || line.startsWith('#')) continue
    const at = `API_TOKENS, line ${index + 1}`
    const [name = '', role = '', ...rest] = line.split(':').map((part) => part.trim())
    if (rest.length !== 1) faults.push(`${at}: write name:role:token, with two colons`)
    else if (!NAME.test(name))
      faults.push(
        `${at}: the name, before the first colon, must consist of at most 64 letters, digits, dots, dashes and underscores`,
      )
    else if (!isRole(role)) faults.push(`${at}: the role, between the colons, must be one of ${ROLES.join(', ')}`)
    else lines.push({ at, name, role, token: rest[0] ?? '' })
  }
  for (const { at, token: one } of lines) {
    if (!TOKEN.test(one))
      faults.push(`${at}: a token may contain only A-Z a-z 0-9 - . _ ~ + / (and = at its end); ${MAKE}`)
    else if (one.length < MIN_TOKEN_CHARACTERS)
      faults.push(`${at}: the token has ${one.length} characters but needs at least ${MIN_TOKEN_CHARACTERS}; ${MAKE}`)
  }
  faults.push(...faultsTogether(lines))
  if (faults.length > 0) throw new ApiError('functions.tokens.invalid', faults.join('\n'))
  if (lines.length === 0) {
    throw new ApiError(
      'functions.tokens.missing',
      'neither API_TOKEN nor API_TOKENS is set: the API shows personal data, so it does not start without a token. Set API_TOKEN to what `openssl rand -hex 32` prints.',
    )
  }
  return lines.map(({ name, role, token: one }) => ({ name, role, token: one }))
}

/** Yields the faults of lines that are valid one by one, but not together. */
function* faultsTogether(lines: readonly Line[]): Generator<string> {
  const places = (some: readonly Line[]) => some.map(({ at }) => at).join('; ')
  for (const some of Map.groupBy(lines, ({ token }) => token).values())
    if (some.length > 1) yield `${places(some)}: the same token appears more than once; give each line its own`
  for (const some of Map.groupBy(lines, ({ name }) => name).values()) {
    if (some.length > MAX_TOKENS_PER_NAME)
      yield `${places(some)}: ${some.length} tokens have the same name, but at most ${MAX_TOKENS_PER_NAME} may: remove the token that is no longer used`
    if (new Set(some.map(({ role }) => role)).size > 1)
      yield `${places(some)}: the same name has several roles; give each role its own name`
  }
}

const isRole = (text: string): text is Role => ROLES.some((role) => role === text)

/** The environment of the API's handlers. */
export type ApiEnv = {
  Bindings: {
    /** A fault of the request that the platform found. The API reports it after it has identified the caller. */
    fault?: { readonly code: ProblemCode; readonly detail: string }
  }
  Variables: {
    /** The sender of the request. Absent at `/health`, which needs no token. */
    caller: Caller
  }
}

/** The values of the settings, or functions that return them if they may change. */
export type TokenSources = { readonly [name in keyof TokenSettings]: string | (() => Promise<string>) | undefined }

/**
 * Creates a middleware that accepts requests with `Authorization: Bearer <token>` and one of the tokens, and sets `caller`. The comparison
 * takes the same time for every input and for every token.
 *
 * @throws ApiError if a fixed setting contains no usable token, so that an API that would reject everybody does not start
 */
export function requireToken({ token, tokens }: TokenSources): MiddlewareHandler<ApiEnv> {
  const parse = remember(parseTokens)
  if (typeof token !== 'function' && typeof tokens !== 'function') parse({ token, tokens })
  const textOf = async (source: TokenSources['token']) => (typeof source === 'function' ? source() : source)
  const refuse = (detail: string) => () => problemResponse('unauthorized', detail)
  return bearerAuth({
    verifyToken: async (given, c) => {
      const known = parse({ token: await textOf(token), tokens: await textOf(tokens) })
      const caller = await findCaller(known, given)
      if (caller !== undefined) c.set('caller', caller)
      return caller !== undefined
    },
    realm: 'enigma-relay',
    noAuthenticationHeader: { message: refuse('Send the header Authorization: Bearer <token>.') },
    invalidAuthenticationHeader: { message: refuse('The Authorization header must have the form: Bearer <token>.') },
    invalidToken: { message: refuse('The bearer token is not valid.') },
  })
}

async function findCaller(known: readonly ApiToken[], given: string): Promise<Caller | undefined> {
  // Compares all tokens, even after a match, so that the time does not depend on the token.
  const fits = await Promise.all(known.map(({ token }) => timingSafeEqual(token, given)))
  const found = known[fits.indexOf(true)]
  return found && { name: found.name, role: found.role }
}

/** Caches the last result for the same settings. */
function remember(parse: typeof parseTokens): typeof parseTokens {
  let last: { readonly settings: TokenSettings; readonly known: readonly ApiToken[] } | undefined
  return (settings) => {
    if (last === undefined || last.settings.token !== settings.token || last.settings.tokens !== settings.tokens)
      last = { settings, known: parse(settings) }
    return last.known
  }
}

const READS = ['GET', 'HEAD']

/**
 * Reads with their filters in the body, so that no phone number is part of a URL. They change nothing. Pages of another origin need their
 * origin listed in `API_CORS_ORIGIN`, because `*` allows only GET.
 */
const READS_BY_POST = ['/cdrs/search']
const ALLOWED_HEADERS = ['Authorization', 'Content-Type', 'If-None-Match', 'Last-Event-ID']
const EXPOSED_HEADERS = ['ETag', 'Location', 'Retry-After']
const PREFLIGHT_SECONDS = 600

/** Parses origins separated by commas, or `*`. @throws ApiError for a value that is not an origin */
export function parseOrigins(text = ''): string[] {
  const origins = text
    .split(',')
    .map((origin) => origin.trim())
    .filter((origin) => origin !== '')
  const wrong = origins.find((origin) => origin !== '*' && !(URL.canParse(origin) && new URL(origin).origin === origin))
  if (wrong !== undefined)
    throw new ApiError(
      'functions.cors.bad_origin',
      `API_CORS_ORIGIN: '${wrong}' is not an origin; write only the scheme and host, such as https://console.example.com`,
    )
  return origins
}

/** Lets pages of these origins read the API; explicitly listed origins may write too. */
export const allowOrigins = (origins: readonly string[]): MiddlewareHandler =>
  cors({
    origin: (origin) => (origins.includes(origin) ? origin : origins.includes('*') ? '*' : null),
    allowMethods: (origin) => (origins.includes(origin) ? [...READS, 'POST'] : READS),
    allowHeaders: ALLOWED_HEADERS,
    exposeHeaders: EXPOSED_HEADERS,
    maxAge: PREFLIGHT_SECONDS,
  })

/**
 * Accepts writes that come from no page, from the API's own page, or from a page of a listed origin. There are no cookies, so a page needs
 * a token in any case. Source: `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header).
 */
export function refuseForeignWrites(origins: readonly string[]): MiddlewareHandler {
  return async (c, next) => {
    const site = c.req.header('sec-fetch-site') ?? 'none'
    const isRead = READS.includes(c.req.method) || READS_BY_POST.includes(c.req.path)
    const isOwn = site === 'none' || site === 'same-origin'
    if (!isRead && !isOwn && !origins.includes(c.req.header('origin') ?? ''))
      throw problem('forbidden', 'A page of another origin may write only if API_CORS_ORIGIN contains its origin.')
    await next()
  }
}
