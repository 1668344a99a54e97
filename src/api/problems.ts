import { HTTPException } from 'hono/http-exception'
import { StoreError } from '../store/index.ts'
import type { ErrorHandler } from 'hono'
import type { ApiEnv, Caller } from './auth.ts'

/**
 * What the API answers when it cannot answer. `type` is a URN that ends in one of these codes, so that a program can tell them
 * apart without reading the words. Source: RFC 9457.
 */
const PROBLEMS = {
  'bad-parameter': [400, 'Invalid parameter'],
  'unknown-parameter': [400, 'Unknown parameter'],
  'bad-request': [400, 'Invalid request'],
  unauthorized: [401, 'A valid bearer token is required'],
  forbidden: [403, 'The role of this token does not allow this request'],
  'not-found': [404, 'Not found'],
  'method-not-allowed': [405, 'Method not allowed'],
  internal: [500, 'The API failed'],
  unavailable: [503, 'Service unavailable'],
} as const

export type ProblemCode = keyof typeof PROBLEMS

export type ProblemMore = {
  /** The name of the parameter that is at fault. */
  readonly parameter?: string
  /** The parameters that there are. */
  readonly known?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
}

const MEDIA_TYPE = 'application/problem+json'

/** The answer itself: `application/problem+json` that no cache keeps. */
export function problemResponse(code: ProblemCode, detail: string, { headers, ...more }: ProblemMore = {}): Response {
  const [status, title] = PROBLEMS[code]
  const body = { type: `urn:enigma-relay:problem:${code}`, title, status, detail, ...more }
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': MEDIA_TYPE, 'cache-control': 'no-store', ...headers },
  })
}

/** Answers a method that a path does not have. */
export function notAllowed(methods: readonly string[]): Response {
  const allow = methods.join(', ')
  return problemResponse('method-not-allowed', `This path supports only ${allow}.`, { headers: { allow } })
}

/** The answer of a problem as an error, to be thrown from anywhere in a handler. */
export function problem(code: ProblemCode, detail: string, more: ProblemMore = {}): HTTPException {
  return new HTTPException(PROBLEMS[code][0], { message: detail, res: problemResponse(code, detail, more) })
}

/** @throws the answer 404 where there is nothing */
export function found<T>(value: T | null, detail: string, parameter = 'ref'): T {
  if (value === null) throw problem('not-found', detail, { parameter })
  return value
}

/** A setting of the API has a fault. Holds no secret. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code:
    | 'functions.tokens.missing'
    | 'functions.tokens.invalid'
    | 'functions.cors.bad_origin'
    | 'functions.console.bad_origin'

  constructor(code: ApiError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Writes a line to the log: no personal data, no secret. */
export type Log = (line: {
  readonly level: 'error'
  /** See docs/logs.md. */
  readonly code: `functions.${string}.${string}`
  readonly message: string
  readonly [field: string]: unknown
}) => void

/** Writes one JSON line to standard error; CloudWatch reads its fields. */
export const logToConsole: Log = (line) => console.error(JSON.stringify(line))

const RETRY_AFTER_SECONDS = 5

/** Turns whatever was thrown into an answer. What is inside an unexpected error goes to the log, and never to the caller. */
export function answerError(log: Log): ErrorHandler<ApiEnv> {
  return (error, c) => {
    if (error instanceof HTTPException) return error.getResponse()
    const path = c.req.routePath
    // By its name and role, never by its token. Absent before it is known.
    const caller = c.get('caller') as Caller | undefined
    if (error instanceof ApiError) {
      // Its words are for the operator, and hold no secret.
      log({ level: 'error', code: error.code, message: error.message, path })
      return problemResponse('internal', 'The API failed; its log has the cause.')
    }
    if (!(error instanceof StoreError)) {
      log({
        level: 'error',
        code: 'functions.api.failed',
        message: 'the API failed to answer a request',
        path,
        caller,
        error: error.name,
        stack: framesOf(error),
      })
      return problemResponse('internal', 'The API failed; its log has the cause.')
    }
    if (error.code === 'store.cursor.invalid') {
      const detail = 'cursor must be the `next` of an earlier page of this list.'
      return problemResponse('bad-parameter', detail, { parameter: 'cursor' })
    }
    log({
      level: 'error',
      code: 'functions.api.unavailable',
      message: 'the API answered 503: the read model did not answer a request',
      path,
      caller,
      cause: error.code,
      error: error.message,
    })
    const headers = { 'retry-after': String(RETRY_AFTER_SECONDS) }
    return problemResponse(
      'unavailable',
      'The read model does not answer. Retry after the number of seconds in Retry-After.',
      {
        headers,
      },
    )
  }
}

const FRAMES = 8

// Without the message: that of a JSON error, for instance, quotes the record that could not be read.
function framesOf(error: Error): string[] {
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at .*[:(]/.test(line))
  return frames.slice(0, FRAMES).map((line) => line.trim())
}
