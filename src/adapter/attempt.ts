import { isObject, isSqsText, maskText, REPLAY_HEADER, toPath, toRequest } from '../protocol/index.ts'
import { AdapterError, describeError, type Log } from './adapter-error.ts'
import type { App, Delivery } from './app.ts'
import { within, type Budget } from './budget.ts'
import type { Entry } from './message.ts'

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
const LONGEST_REASON = 500
// Masked before it is cut to `LONGEST_REASON`, so that no half of a number is left; a whole page of HTML is not.
const LONGEST_READ = 4000

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

/** A text as the reason of a parked notification: masked, one line, short, of characters that every SQS server takes. */
export function toReason(text: string, payload?: unknown): string {
  const line = maskText(text.slice(0, LONGEST_READ), payload)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  const short = line.length > LONGEST_REASON ? `${line.slice(0, LONGEST_REASON - 1)}…` : line
  return isSqsText(short) ? short : short.replace(/[^\x20-\uD7FF\uE000-\uFFFD]/g, '?')
}
