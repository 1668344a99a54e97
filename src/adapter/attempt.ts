import { Hono, type ErrorHandler } from 'hono'
import { isObject, REPLAY_HEADER, toPath, toRequest } from '../protocol/index.ts'
import { AdapterError, describeError, logFailure, logToConsole, toReason, type Log } from './adapter-error.ts'
import { deliveryOf, type App, type Delivery } from './event.ts'
import type { Entry, LambdaContext } from './message.ts'

/** What running the notifications of a function takes. */
export type Run = {
  readonly app: App
  /** Bindings of the platform, which handlers find in `c.env`. */
  readonly env?: object | undefined
  readonly budget: Budget
  readonly maxAgeMs: number | undefined
  readonly now: () => number
  readonly log: Log
  readonly check?: ((effect: unknown) => void) | undefined
}

/** Runs the app on one notification. Never rejects; what the app does after the time limit changes nothing. */
export async function attempt<Effect>(entry: Entry<Effect>, run: Run, limitMs: number): Promise<Outcome> {
  const { notification, packet, attempt, lastAttempt, sentMs, replay } = entry
  const payload = () => packet()?.['payload']
  const abort = new AbortController()
  let open = true
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
      if (open) entry.effects.push(effect)
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
    // A foreign event may have what no header can carry: it never will.
    return { kind: 'park', ...explain(error, payload()) }
  }
  try {
    const outcome = await within(limitMs, async () => {
      const response = await run.app.fetch(request, { ...run.env, enigma: delivery })
      return toOutcome(response, toPath({ type: notification.type }), payload)
    })
    if (outcome.kind === 'done' || failure === undefined) return outcome
    // The answer to an error nobody caught says nothing; the error does.
    return { ...outcome, ...explain(failure.error, payload(), outcome.status) }
  } catch (error) {
    if (error instanceof AdapterError) abort.abort(error)
    return { kind: 'retry', ...explain(error, payload()) }
  } finally {
    open = false
  }
}

function explain(error: unknown, payload: unknown, status?: number): { reason: string; error: unknown } {
  const words = error instanceof AdapterError ? error.message : describeError(error, payload)
  return { reason: toReason(status === undefined ? words : `${status}: ${words}`, payload), error }
}

/** What came of one notification. `retry`: it may succeed later. `park`: it never will, and is put aside at once. */
type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'retry' | 'park'; readonly reason: string; readonly status?: number; readonly error?: unknown }

const RETRIED = new Set([408, 425, 429])

/**
 * 2xx done; 408, 425, 429 and 5xx retry; everything else park.
 *
 * @param payload what the reason is about: its personal values are masked
 * @param path named when the app has no such route
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
    const words = isObject(body) ? [body['detail'], body['title'], body['message'], body['error']] : []
    return words.find((word): word is string => typeof word === 'string' && word.trim() !== '') ?? text
  } catch {
    return text
  }
}

// One function for all apps: an app that has it was given no `onError`.
const defaultHandler: unknown = Reflect.get(new Hono(), 'errorHandler')

/**
 * Hono's default error handler prints the whole error, with whatever a library wrote into its text (the failed command, the
 * number). An app that still has it gets one that answers the same and hands the error to the adapter, which logs it masked. An
 * app with an `onError` of its own keeps it, also when it is set later.
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

export type Budget = { handlerMs: () => number; commitMs: () => number; reportMs: () => number }

const LARGEST_RESERVE_MS = 2000

/**
 * How the time that Lambda leaves is divided. A function that Lambda kills reports nothing: its whole batch runs again. So each
 * step has to end while there is time for those behind it: handlers, then the commit, the report.
 * Each function returns ms; zero or less: too late to begin. `Infinity` without a Lambda context.
 *
 * @param timeoutMs a limit of the user's own for one notification
 */
export function createBudget(context: LambdaContext | undefined, timeoutMs = Infinity): Budget {
  const leftMs = () => context?.getRemainingTimeInMillis() ?? Infinity
  const reserveMs = Math.min(LARGEST_RESERVE_MS, leftMs() / 4)
  return {
    handlerMs: () => Math.min(timeoutMs, leftMs() - reserveMs),
    commitMs: () => leftMs() - reserveMs * 0.25,
    reportMs: () => leftMs() - reserveMs * 0.1,
  }
}

// A timer of more milliseconds than this fires at once.
const LONGEST_TIMER_MS = 0x7fff_ffff

/**
 * The result of `work`, unless it takes longer than this. The work itself is not stopped: it has to be told, and what it does
 * later is ignored.
 *
 * @param limitMs may be `Infinity`
 * @throws AdapterError `adapter.step.time_limit`; `adapter.step.no_time` when nothing was left to begin with and the work was not started
 */
export async function within<T>(limitMs: number, work: () => Promise<T>): Promise<T> {
  if (limitMs <= 0) throw new AdapterError('adapter.step.no_time', 'the function had no time left for this step')
  if (limitMs > LONGEST_TIMER_MS) return work()
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

/** Ten attempts at 1, 2, 4 … 256 s last eight and a half minutes; each one more adds five minutes. */
const LONGEST_PAUSE_SECONDS = 300

/** How long (s) to wait after this attempt: 1 s after the first, doubled after each. */
export const pauseSeconds = (attempt: number, longest = LONGEST_PAUSE_SECONDS): number =>
  Math.min(2 ** (attempt - 1), longest)
