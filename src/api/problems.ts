import type { ErrorHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { StoreError } from '../store/index.ts'
import type { ApiEnv, Caller } from './auth.ts'

/**
 * The problems that the API returns. `type` is a URN that ends in one of these codes, so that programs can distinguish them without parsing
 * the text. Source: RFC 9457.
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
  /** The name of the invalid parameter. */
  readonly parameter?: string
  /** The parameters that the path supports. */
  readonly known?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
}

const MEDIA_TYPE = 'application/problem+json'

/** Returns the response of a problem: `application/problem+json` that no cache stores. */
export function problemResponse(code: ProblemCode, detail: string, { headers, ...more }: ProblemMore = {}): Response {
  const [status, title] = PROBLEMS[code]
  const body = { type: `urn:enigma-relay:problem:${code}`, title, status, detail, ...more }
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': MEDIA_TYPE, 'cache-control': 'no-store', ...headers },
  })
}

/** Returns the response to a method that the path does not support. */
export function notAllowed(methods: readonly string[]): Response {
  const allow = methods.join(', ')
  return problemResponse('method-not-allowed', `This path supports only ${allow}.`, { headers: { allow } })
}

/** Creates an error with the response of a problem, for handlers to throw. */
export function problem(code: ProblemCode, detail: string, more: ProblemMore = {}): HTTPException {
  return new HTTPException(PROBLEMS[code][0], { message: detail, res: problemResponse(code, detail, more) })
}

/** Returns a value that exists. @throws the answer 404 if it is null */
export function found<T>(value: T | null, detail: string, parameter = 'ref'): T {
  if (value === null) throw problem('not-found', detail, { parameter })
  return value
}

/** An invalid setting of the API. The message contains no secret. */
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

/** Writes a line to the log, without personal data or secrets. */
export type Log = (line: {
  readonly level: 'error'
  /** See docs/logs.md. */
  readonly code: `functions.${string}.${string}`
  readonly message: string
  readonly [field: string]: unknown
}) => void

/** Writes one JSON line to standard error; CloudWatch parses its fields. */
export const logToConsole: Log = (line) => console.error(JSON.stringify(line))

const RETRY_AFTER_SECONDS = 5

/** Converts any thrown error into a response. Details of an unexpected error go to the log, never to the caller. */
export function answerError(log: Log): ErrorHandler<ApiEnv> {
  return (error, c) => {
    if (error instanceof HTTPException) return error.getResponse()
    const path = c.req.routePath
    // Name and role, never the token. Absent until the caller is identified.
    const caller = c.get('caller') as Caller | undefined
    if (error instanceof ApiError) {
      // Its message is for the operator, and contains no secret.
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

const MAX_FRAMES = 8

// Leaves out the message, since that of a JSON error, for example, quotes the unreadable record.
function framesOf(error: Error): string[] {
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at .*[:(]/.test(line))
  return frames.slice(0, MAX_FRAMES).map((line) => line.trim())
}
