import { HTTPException } from 'hono/http-exception'

/**
 * What the API answers when it cannot answer. `type` is a URN that ends in one of these codes, so that a program can tell them
 * apart without reading the words. Source: RFC 9457.
 */
const PROBLEMS = {
  'bad-parameter': [400, 'Invalid parameter'],
  'unknown-parameter': [400, 'Unknown parameter'],
  'bad-request': [400, 'Invalid request'],
  unauthorized: [401, 'A valid bearer token is required'],
  forbidden: [403, 'The role of this token does not allow it'],
  'not-found': [404, 'Not found'],
  'method-not-allowed': [405, 'Method not allowed'],
  internal: [500, 'The API failed'],
  unavailable: [503, 'The read model does not answer'],
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

/** The same as an error, to be thrown from anywhere in a handler. */
export function problem(code: ProblemCode, detail: string, more: ProblemMore = {}): HTTPException {
  return new HTTPException(PROBLEMS[code][0], { message: detail, res: problemResponse(code, detail, more) })
}
