import { describeError, logToConsole } from './adapter-error.ts'
import { keepErrorsQuiet, logFailure, problemResponse, type App, type Delivery } from './app.ts'
import type { Commit } from './commit.ts'
import type { FromSqsOptions } from './from-sqs.ts'
import { createVerify, type Verified, type Verify } from './verify.ts'

export type FromHttpOptions<Effect> = Pick<FromSqsOptions<Effect>, 'check' | 'maxAgeMs' | 'now' | 'log'> & {
  /**
   * Who may send: a bearer token, or a signature of Standard Webhooks. Whoever may not gets 401 before anything of the body is read as an
   * event. `false` only where something before it checks that: everybody who reaches this address can write to the read model then.
   */
  readonly verify: Verify
  /** Writes what the handler recorded, before the answer goes out; `done` is empty. */
  readonly commit: (batch: Commit<Effect>) => Promise<void>
}

/**
 * The same app behind an HTTP push of CloudEvents in binary mode: a `fetch` handler. What the handler recorded is committed, then
 * its answer goes out; when the commit fails the answer is 503, so that the pusher tries again. Order and retries are the
 * pusher's.
 *
 * @example serve({ fetch: fromHttp(app, { verify: { webhook: 'whsec_…' }, commit: store.commit }) })
 * @throws AdapterError `adapter.verify.invalid` when `verify` is missing or has no usable secret
 */
export function fromHttp<Effect>(app: App, options: FromHttpOptions<Effect>) {
  keepErrorsQuiet(app)
  const { maxAgeMs, now = Date.now, log = logToConsole } = options
  const verify = createVerify(options.verify, now)
  return async (given: Request, env?: object): Promise<Response> => {
    let verified: Verified
    try {
      verified = await verify(given)
    } catch (error) {
      log({
        level: 'error',
        code: 'adapter.verify.failed',
        message: 'a request could not be verified; the answer is 503',
        error: describeError(error),
      })
      return problemResponse(503, 'The request could not be verified')
    }
    if ('detail' in verified)
      return verified.status === 401
        ? problemResponse(401, 'Unauthorized', verified.detail, { 'www-authenticate': 'Bearer realm="enigma-relay"' })
        : problemResponse(413, 'Content Too Large', verified.detail)
    const { request } = verified
    const effects: Effect[] = []
    let open = true
    const delivery: Delivery<Effect> = {
      attempt: 1,
      lastAttempt: false,
      maxAgeMs,
      now,
      record: (effect) => {
        options.check?.(effect)
        if (open) effects.push(effect)
        else
          log({
            level: 'error',
            code: 'adapter.record.too_late',
            message: 'the handler recorded an effect after its answer; the effect was discarded',
          })
      },
      fail: logFailure(log),
    }
    let response: Response
    try {
      response = await app.fetch(request, { ...env, enigma: delivery })
    } catch (error) {
      // A Hono app rejects only when something was thrown that is not an Error.
      delivery.fail(error)
      response = problemResponse(500, 'The handler failed')
    }
    open = false
    if (effects.length === 0) return response
    try {
      await options.commit({ effects, done: new Map(), parked: [], failed: [], replayed: [] })
      return response
    } catch (error) {
      log({
        level: 'error',
        code: 'adapter.commit.failed',
        message: 'the effects could not be committed; the answer is 503',
        error: describeError(error),
      })
      return problemResponse(503, 'The effects could not be written')
    }
  }
}
