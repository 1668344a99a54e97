import type { Problem } from '../answers/index.ts'

/**
 * The code of a failure. From the API: the code at the end of a problem's URN (docs/read-api.md lists them; newer APIs may have more).
 * `network`: no response arrived. `timeout`: no response arrived in time. `unexpected`: the response is not from this API.
 */
export type ProblemCode =
  | 'bad-parameter'
  | 'unknown-parameter'
  | 'bad-request'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'method-not-allowed'
  | 'internal'
  | 'unavailable'
  | 'network'
  | 'timeout'
  | 'unexpected'
  | (string & {})

export type ProblemMore = {
  readonly parameter?: string | undefined
  readonly known?: readonly string[] | undefined
  readonly retryAfterMs?: number | undefined
  readonly cause?: unknown
}

/**
 * A failed request. It contains neither the token nor the address, which may contain a reference.
 *
 * @example
 * try {
 *   await client.agent('1002')
 * } catch (error) {
 *   if (!(error instanceof ApiProblem) || error.code !== 'not-found') throw error
 * }
 */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem'
  /** The HTTP status; 0 if no response arrived. */
  readonly status: number
  readonly code: ProblemCode
  /** The cause of this failure, and how to fix it. */
  readonly detail: string
  /** The name of the invalid parameter. */
  readonly parameter: string | undefined
  /** The known parameters, if the request contains an unknown one. */
  readonly known: readonly string[] | undefined
  /** When to retry (ms from now), if the API says so. */
  readonly retryAfterMs: number | undefined

  constructor(status: number, code: ProblemCode, detail: string, more: ProblemMore = {}) {
    super(detail, more.cause === undefined ? {} : { cause: more.cause })
    this.status = status
    this.code = code
    this.detail = detail
    this.parameter = more.parameter
    this.known = more.known
    this.retryAfterMs = more.retryAfterMs
  }
}

const URN = 'urn:enigma-relay:problem:'

/** Converts the response to a failed request. */
export async function toProblem(response: Response): Promise<ApiProblem> {
  const { status } = response
  const retryAfterMs = parseRetryAfter(response.headers.get('retry-after'), Date.now())
  const body = parseProblem(await response.text())
  if (body !== undefined)
    return new ApiProblem(status, body.type.slice(URN.length), body.detail, {
      parameter: body.parameter,
      known: body.known,
      retryAfterMs,
    })
  // Browsers hide everything about a redirect except that it is one.
  const isRedirect = response.type === 'opaqueredirect' || (status >= 300 && status < 400)
  const detail = isRedirect
    ? 'The address redirects, and the client sends the token to no other address. Set `url` to the target of the redirect.'
    : `The response has the status ${status} and did not come from this API: check \`url\`, and any proxy in front of the API.`
  return new ApiProblem(status, 'unexpected', detail, { retryAfterMs })
}

function parseProblem(text: string): Problem | undefined {
  try {
    const body = JSON.parse(text) as Partial<Problem> | null
    const isProblem = typeof body?.type === 'string' && body.type.startsWith(URN) && typeof body.detail === 'string'
    return isProblem ? (body as Problem) : undefined
  } catch {
    return undefined
  }
}

/** Parses a `Retry-After` header, which is a number of seconds or a date, into milliseconds. Source: RFC 9110, section 10.2.3. */
export function parseRetryAfter(text: string | null, nowMs: number): number | undefined {
  if (text === null) return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const ms = text.endsWith(' GMT') ? Date.parse(text) - nowMs : Number.NaN
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
