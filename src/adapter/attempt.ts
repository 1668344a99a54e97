import { Hono, type ErrorHandler } from 'hono'
import { DEFAULT_LIMITS, isObject, REPLAY_HEADER, toPath, toRequest } from '../protocol/index.ts'
import { AdapterError, describeError, logFailure, logToConsole, toReason, type Log } from './adapter-error.ts'
import { deliveryOf, type App, type Delivery } from './event.ts'
import type { Entry, LambdaContext } from './message.ts'

/** A function, and everything that is needed to run notifications through it. */
export type Run = {
  readonly app: App
  /** Bindings of the platform, which handlers read from `c.env`. */
  readonly env?: object | undefined
  readonly budget: Budget
  readonly maxAgeMs: number | undefined
  readonly now: () => number
  readonly log: Log
  readonly check?: ((effect: unknown) => void) | undefined
}

/** Runs the app on one notification. Never rejects. Effects that the app records after the time limit are discarded. */
export async function runOnce<Effect>(entry: Entry<Effect>, run: Run, limitMs: number): Promise<Outcome> {
  const { notification, packet, attempt, lastAttempt, sentMs, replay } = entry
  const payload = () => packet()?.['payload']
  const abort = new AbortController()
  let isOpen = true
  let failure: { readonly error: unknown } | undefined
  const delivery: Delivery<Effect> = {
    notification,
    packet,
    attempt,
    lastAttempt,
    maxAgeMs: run.maxAgeMs,
    sentMs,
    now: run.now,
    record: (effect) => {
      run.check?.(effect)
      if (isOpen) entry.effects.push(effect)
      else
        run.log({
          level: 'error',
          code: 'adapter.record.too_late',
          message: 'the handler recorded an effect after its response or its time limit; the effect was discarded',
          id: notification.id,
        })
    },
    fail: (error) => (failure = { error }),
  }
  let request: Request
  try {
    request = toRequest(notification, abort.signal)
    if (replay !== undefined) request.headers.set(REPLAY_HEADER, replay.job)
  } catch (error) {
    // A foreign event may contain characters that no header can carry. A retry would fail too.
    return { kind: 'park', ...explain(error, payload()) }
  }
  try {
    const outcome = await within(limitMs, async () => {
      const response = await run.app.fetch(request, { ...run.env, enigma: delivery })
      return toOutcome(response, toPath({ type: notification.type }), payload)
    })
    if (outcome.kind === 'done' || failure === undefined) return outcome
    // The response to an uncaught error has no details, so the reason is the error itself.
    return { ...outcome, ...explain(failure.error, payload(), outcome.status) }
  } catch (error) {
    if (error instanceof AdapterError) abort.abort(error)
    return { kind: 'retry', ...explain(error, payload()) }
  } finally {
    isOpen = false
  }
}

function explain(error: unknown, payload: unknown, status?: number): { reason: string; error: unknown } {
  const detail = error instanceof AdapterError ? error.message : describeError(error, payload)
  return { reason: toReason(status === undefined ? detail : `${status}: ${detail}`, payload), error }
}

/** The outcome of one notification. `retry`: it may succeed later. `park`: it will never succeed, so it is parked at once. */
type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'retry' | 'park'; readonly reason: string; readonly status?: number; readonly error?: unknown }

const RETRIED = new Set([408, 425, 429])

/**
 * Judges a response. 2xx: done. 408, 425, 429 and 5xx: retry. Any other status: park.
 *
 * @param path for the reason, if the app has no route for it
 * @param payload returns the payload, whose personal data is masked in the reason
 */
async function toOutcome(response: Response, path: string, payload: () => unknown): Promise<Outcome> {
  const { status } = response
  if (response.ok) return { kind: 'done' }
  const kind = RETRIED.has(status) || status >= 500 ? 'retry' : 'park'
  const words = await readWords(response)
  // The text of Hono's own `notFound`.
  const missing = status === 404 && words === '404 Not Found'
  const detail = missing ? `the app has no route for POST ${path}` : words
  return { kind, status, reason: toReason(detail === '' ? `${status}` : `${status}: ${detail}`, payload()) }
}

async function readWords(response: Response): Promise<string> {
  const text = await response.text().catch(() => '')
  if (!/json\b/i.test(response.headers.get('content-type') ?? '')) return text
  try {
    const body: unknown = JSON.parse(text)
    const detail = isObject(body) ? [body['detail'], body['title'], body['message'], body['error']] : []
    return detail.find((word): word is string => typeof word === 'string' && word.trim() !== '') ?? text
  } catch {
    return text
  }
}

// All apps share Hono's default error handler. An app that has it has no `onError` of its own.
const defaultHandler: unknown = Reflect.get(new Hono(), 'errorHandler')

/**
 * Replaces Hono's default error handler, which prints the whole error with any personal data that a library wrote into its text (the failed
 * command, the number). The replacement gives the same response and passes the error to the adapter, which logs it masked. An app with an
 * `onError` of its own keeps it, even if it is set later.
 */
export function keepErrorsQuiet(app: App): void {
  if (Reflect.get(app, 'errorHandler') === defaultHandler) (app as unknown as Hono).onError(answerQuietly)
}

const answerQuietly: ErrorHandler = (error, c) => {
  if ('getResponse' in error) {
    const response = error.getResponse()
    return c.newResponse(response.body, response)
  }
  const { fail } = deliveryOf(c) ?? { fail: logFailure(logToConsole) }
  fail(error)
  return c.text('Internal Server Error', 500)
}

/** The time limits (ms) of the steps of an invocation. */
export type Budget = { handlerMs: () => number; commitMs: () => number; reportMs: () => number }

const MAX_RESERVE_MS = 2000

/**
 * Divides the remaining time of a Lambda function. A function that Lambda kills reports nothing, and its whole batch runs again. So each
 * step (handlers, commit, report) has to end while there is time for the following steps. Each of the returned functions returns the time
 * limit of its step in ms; zero or less means that it is too late to begin. Without a Lambda context, it returns `Infinity`.
 *
 * @param timeoutMs the user's own time limit for one notification
 */
export function createBudget(context: LambdaContext | undefined, timeoutMs = Infinity): Budget {
  const leftMs = () => context?.getRemainingTimeInMillis() ?? Infinity
  const reserveMs = Math.min(MAX_RESERVE_MS, leftMs() / 4)
  return {
    handlerMs: () => Math.min(timeoutMs, leftMs() - reserveMs),
    commitMs: () => leftMs() - reserveMs * 0.25,
    reportMs: () => leftMs() - reserveMs * 0.1,
  }
}

// A timer of more than 2^31 - 1 ms fires at once. Source: `setTimeout` in the Node.js documentation.
const MAX_TIMER_MS = 0x7fff_ffff

/**
 * Resolves with the result of `work`, unless it takes longer than `limitMs`. Does not stop the work: the caller has to, and ignores
 * later results.
 *
 * @param limitMs may be `Infinity`
 * @throws AdapterError `adapter.step.time_limit`, or `adapter.step.no_time` if there was no time left and the work was not started
 */
export async function within<T>(limitMs: number, work: () => Promise<T>): Promise<T> {
  if (limitMs <= 0) throw new AdapterError('adapter.step.no_time', 'the function had no time left for this step')
  if (limitMs > MAX_TIMER_MS) return work()
  let timer: ReturnType<typeof setTimeout> | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new AdapterError('adapter.step.time_limit', `no answer within ${(limitMs / 1000).toFixed(1)} s`)),
      limitMs,
    )
  })
  try {
    return await Promise.race([work(), limit])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Returns the back-off (s) after an attempt: 1 s after the first, doubled after each. With the default maximum of 300 s, ten attempts last eight
 * and a half minutes (1, 2, 4 … 256 s), and each further attempt adds five minutes.
 */
export const pauseSeconds = (attempt: number, maxSeconds = DEFAULT_LIMITS.retrySeconds): number =>
  Math.min(2 ** (attempt - 1), maxSeconds)
