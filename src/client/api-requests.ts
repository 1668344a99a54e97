import { ApiProblem, toProblem } from './api-problem.ts'

/** The options of one call. */
export type CallOptions = {
  /** Aborts the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** How long (ms) to wait for each response. Default: the client's setting. */
  readonly timeoutMs?: number | undefined
}

export type RequestOptions = {
  /** The address of the API: `https://api.example.com`, or a path on the page's own origin; '' is its root. */
  readonly url: string
  /** A bearer token of the API, or a function that returns one, which is called before each request. Absent: only `health` works. */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** Sends requests. It must abort them when their signal aborts. Default: `fetch` of the runtime. */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined
  /** Ask the API to mask personal data in every answer, for example for a wallboard. Default: the role of the token decides. */
  readonly masked?: boolean | undefined
  /** How long (ms) to wait for each response. Default 30,000, which is longer than the API ever takes. */
  readonly timeoutMs?: number | undefined
  /** How often a read is retried after a network failure, 429, 502, 503 or 504. Default 3. Writes are never retried. */
  readonly retries?: number | undefined
  /** Returns how long (ms) to wait after 1, 2, 3 … consecutive failures. Default: random, up to 250, 500, 1,000 … 10,000. */
  readonly backoffMs?: ((failures: number) => number) | undefined
}

type Value = string | number | boolean | Date | null | undefined
export type Query = Readonly<Record<string, Value>>

export type Call = {
  readonly path: string
  /** An absolute URL that replaces the path. It receives the token, so it must be one that the API itself has named. */
  readonly at?: string | undefined
  readonly query?: Query | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: object
  readonly method?: 'POST'
  /** Whether a POST only reads: then `masked` applies to it as to a GET. */
  readonly isRead?: boolean
}

/** The characters that a bearer token may contain; any other would appear in the error of `fetch`. Source: RFC 6750, section 2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/

/** If the API asks for a longer wait (ms) than this, the call fails without a retry. */
const MAX_RETRY_WAIT_MS = 10_000

const TEMPORARY = new Set([429, 502, 503, 504])

/** Sends requests to the API. */
export type Requests = {
  /** Sends one request. Resolves when a response with status 2xx begins. @throws ApiProblem, or the signal's reason */
  readonly open: (call: Call, limit: TimeLimit) => Promise<Response>
  /** Sends one request, and reads the response. @throws ApiProblem, or the signal's reason */
  readonly askOnce: <Answer>(call: Call, options?: CallOptions) => Promise<Answer>
  /** Sends a request, and retries it while the API is unavailable. */
  readonly ask: <Answer>(call: Call, options?: CallOptions) => Promise<Answer>
  readonly backoffMs: (failures: number) => number
  /** The address of the API, without a slash at its end. */
  readonly address: string
}

export function createRequests(options: RequestOptions): Requests {
  const { url, token, masked, timeoutMs: defaultMs = 30_000, retries = 3, backoffMs = defaultBackoffMs } = options
  const address = url.replace(/\/+$/, '')
  const send = options.fetch ?? ((to: string, init: RequestInit) => fetch(to, init))

  const readToken = async (): Promise<string> => {
    const text = typeof token === 'function' ? await token() : token
    if (text !== undefined && !TOKEN.test(text))
      throw new ApiProblem(
        401,
        'unauthorized',
        'The token contains characters that are not allowed in a bearer token, such as a space.',
      )
    return text ?? ''
  }

  async function open(
    { path, at, query, headers, body, method, isRead = method === undefined }: Call,
    limit: TimeLimit,
  ): Promise<Response> {
    const bearer = await readToken()
    const parameters = isRead && masked === true ? { ...query, masked } : query
    const response = await limit.guard(() =>
      send(`${at ?? address + path}${formatQuery(parameters)}`, {
        method: method ?? 'GET',
        headers: {
          ...(bearer === '' ? {} : { authorization: `Bearer ${bearer}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        // A redirected POST would become a GET, and the token is only for this address.
        redirect: 'manual',
        signal: limit.signal,
      }),
    )
    if (response.ok) return response
    throw await limit.guard(() => toProblem(response))
  }

  async function askOnce<Answer>(call: Call, { signal, timeoutMs = defaultMs }: CallOptions = {}): Promise<Answer> {
    signal?.throwIfAborted()
    const limit = limitTime(signal)
    limit.restart(timeoutMs)
    try {
      const response = await open(call, limit)
      const text = await limit.guard(() => response.text())
      try {
        return JSON.parse(text) as Answer
      } catch {
        throw new ApiProblem(response.status, 'unexpected', 'The response is not JSON: check that `url` is the API.')
      }
    } finally {
      limit.end()
    }
  }

  async function ask<Answer>(call: Call, own: CallOptions = {}): Promise<Answer> {
    for (let failures = 1; ; failures++) {
      try {
        return await askOnce<Answer>(call, own)
      } catch (error) {
        if (!(error instanceof ApiProblem) || failures > retries) throw error
        if (error.code !== 'network' && !TEMPORARY.has(error.status)) throw error
        const waitMs = Math.max(backoffMs(failures), error.retryAfterMs ?? 0)
        if (waitMs > MAX_RETRY_WAIT_MS) throw error
        await pause(waitMs, own.signal)
        own.signal?.throwIfAborted()
      }
    }
  }
  return { open, askOnce, ask, backoffMs, address }
}

/** Exponential back-off with full jitter. Source: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/ */
const defaultBackoffMs = (failures: number): number =>
  Math.max(50, Math.random() * Math.min(10_000, 250 * 2 ** Math.min(failures - 1, 10)))

function formatQuery(query: Query = {}): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== null)
      parameters.set(name, value instanceof Date ? value.toISOString() : String(value))
  const text = parameters.toString()
  return text === '' ? '' : `?${text}`
}

/**
 * Formats a path from words and references.
 *
 * @throws ApiProblem for a reference that no path can contain: the URL standard removes `.` and `..`, however they are written
 */
export function formatPath(parts: readonly string[]): string {
  const bad = parts.find((part) => part === '' || part === '.' || part === '..')
  if (bad !== undefined) throw new ApiProblem(404, 'not-found', `'${bad}' cannot be used as a reference in a URL.`)
  return parts.map((part) => `/${encodeURIComponent(part)}`).join('')
}

/** Waits `ms`, or until the signal aborts. Resolves in both cases. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (ms <= 0 || signal?.aborted === true) return resolve()
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal?.addEventListener('abort', end)
  })
}

/** A signal that aborts with the caller's signal, or when a time limit expires. */
export type TimeLimit = {
  readonly signal: AbortSignal
  /** Sets the time limit to this many ms from now. */
  readonly restart: (ms: number) => void
  /** Stops the clock until the next `restart`. */
  readonly stop: () => void
  /** Aborts every operation that still uses the signal, and releases the caller's signal. */
  readonly end: () => void
  /** Runs a network operation. @throws ApiProblem `network` or `timeout`, or the caller's reason */
  readonly guard: <T>(work: () => Promise<T>) => Promise<T>
}

/**
 * Creates a time limit. `AbortSignal.any` is not used, because it keeps its result in memory as long as the caller's signal lives:
 * https://github.com/nodejs/node/issues/54614
 */
export function limitTime(caller?: AbortSignal): TimeLimit {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  let isOver = false
  const abort = () => controller.abort(caller?.reason)
  if (caller?.aborted === true) abort()
  else caller?.addEventListener('abort', abort)
  const stop = () => clearTimeout(timer)
  return {
    signal: controller.signal,
    restart: (ms) => {
      stop()
      timer = setTimeout(() => {
        isOver = true
        controller.abort()
      }, ms)
    },
    stop,
    end: () => {
      stop()
      caller?.removeEventListener('abort', abort)
      controller.abort()
    },
    guard: async (work) => {
      try {
        return await work()
      } catch (cause) {
        caller?.throwIfAborted()
        if (cause instanceof ApiProblem) throw cause
        if (isOver) throw new ApiProblem(0, 'timeout', 'The API did not answer in time.', { cause })
        throw new ApiProblem(0, 'network', 'The API could not be reached, or the connection was lost.', { cause })
      }
    },
  }
}
