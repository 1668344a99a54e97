import { REPLAY_HEADER, toPath, toRequest } from '../protocol/index.ts'
import type { App, Delivery } from './delivery.ts'
import { AdapterError, describeError } from './errors.ts'
import type { Log } from './log.ts'
import type { Entry } from './message.ts'
import type { FromSqsOptions } from './options.ts'
import { toOutcome, toReason, type Outcome } from './outcome.ts'
import { within } from './within.ts'

export type AttemptOptions = {
  readonly limitMs: number
  readonly maxAgeMs: number | undefined
  readonly now: () => number
  readonly log: Log
  readonly check?: FromSqsOptions<unknown>['check']
}

/** Runs the app on one notification. Never rejects; what the app does after the time limit changes nothing. */
export async function attempt<Effect>(app: App, entry: Entry<Effect>, options: AttemptOptions): Promise<Outcome> {
  const { notification, packet, attempt, lastAttempt, record, replay } = entry
  const payload = () => packet()?.['payload']
  const abort = new AbortController()
  let open = true
  let failure: { readonly error: unknown } | undefined
  const delivery: Delivery<Effect> = {
    notification,
    packet,
    attempt,
    lastAttempt,
    maxAgeMs: options.maxAgeMs,
    sentMs: Number(record.attributes.SentTimestamp) || undefined,
    now: options.now,
    record: (effect) => {
      options.check?.(effect)
      if (open) entry.effects.push(effect)
      else
        options.log({
          level: 'error',
          code: 'adapter.record.too_late',
          message: 'the handler recorded an effect after its answer or its time limit; the effect was discarded',
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
  const run = async () => {
    const response = await app.fetch(request, { enigma: delivery })
    return toOutcome(response, toPath({ type: notification.type }), payload)
  }
  try {
    const outcome = await within(options.limitMs, run)
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
