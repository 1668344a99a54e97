import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { ApiError, problem } from './problems.ts'

/** Which pages may use the API in a browser. */

const READS = ['GET', 'HEAD']

/**
 * Reads with their filters in the body, so that no phone number is part of a URL. They change nothing, and `API_CORS_ORIGIN` must allow a
 * page of another origin as for a GET: the token's header makes the browser send a preflight request.
 */
const READS_BY_POST = ['/cdrs/search']
const SENT_HEADERS = ['Authorization', 'Content-Type', 'If-None-Match', 'Last-Event-ID']
const READ_HEADERS = ['ETag', 'Location', 'Retry-After']
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
    allowHeaders: SENT_HEADERS,
    exposeHeaders: READ_HEADERS,
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
