import { cors } from 'hono/cors'
import type { MiddlewareHandler } from 'hono'
import { ApiError } from './errors.ts'

const METHODS = ['GET', 'HEAD']
const SENT_HEADERS = ['Authorization', 'If-None-Match', 'Last-Event-ID']
const READ_HEADERS = ['ETag', 'Retry-After']
const PREFLIGHT_SECONDS = 600

/** Lets pages of these origins (several by commas, or `*`) read the API in a browser. @throws when one is not an origin */
export function allowOrigins(corsOrigin: string): MiddlewareHandler {
  const origins = corsOrigin
    .split(',')
    .map((origin) => origin.trim())
    .filter((origin) => origin !== '')
  for (const origin of origins) {
    if (origin !== '*' && !isOrigin(origin)) {
      throw new ApiError(
        'functions.cors.bad_origin',
        `API_CORS_ORIGIN: '${origin}' is not an origin; write only the scheme and host, such as https://console.example.com`,
      )
    }
  }
  return cors({
    origin: origins.includes('*') ? '*' : origins,
    allowMethods: METHODS,
    allowHeaders: SENT_HEADERS,
    exposeHeaders: READ_HEADERS,
    maxAge: PREFLIGHT_SECONDS,
  })
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text
}
