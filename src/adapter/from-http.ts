import type { App, Delivery } from './delivery.ts'
import { describeError, describeStack } from './errors.ts'
import { logToConsole, type Log } from './log.ts'
import type { Commit } from './options.ts'
import { keepErrorsQuiet } from './quiet-errors.ts'
import { createVerify, type Verified, type Verify } from './verify.ts'

export type FromHttpOptions<Effect> = {
  /**
   * Who may send: a bearer token, or a signature of Standard Webhooks. Whoever may not gets 401 before anything of the body is read as an
   * event. `false` only where something before it checks that: everybody who reaches this address can write to the read model then.
   */
  readonly verify: Verify
  /** Throws what is wrong with an effect, when the handler records it. Default: nothing is. */
  readonly check?: ((effect: unknown) => void) | undefined
  /** Writes what the handler recorded, before the answer goes out; `done` is empty. */
  readonly commit: (batch: Commit<Effect>) => Promise<void>
  /** Older notifications (ms) are `stale`. Default: as the route table says. */
  readonly maxAgeMs?: number | undefined
  /** Unix ms. Default `Date.now`. */
  readonly now?: () => number
  /** Default: one JSON line on standard error. */
  readonly log?: Log
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
      return failed(503, 'The request could not be verified')
    }
    if (!('request' in verified)) return refused(verified.status, verified.detail)
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
      fail: (error) =>
        log({
          level: 'error',
          code: 'adapter.handler.failed',
          message: 'the handler failed',
          error: describeError(error),
          stack: describeStack(error),
        }),
    }
    const response = await run(app, request, { ...env, enigma: delivery })
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
      return failed(503, 'The effects could not be written')
    }
  }
}

// A Hono app rejects only when something was thrown that is not an Error.
async function run(app: App, request: Request, env: { enigma: Delivery<never> }): Promise<Response> {
  try {
    return await app.fetch(request, env)
  } catch (error) {
    env.enigma.fail(error)
    return failed(500, 'The handler failed')
  }
}

function refused(status: 401 | 413, detail: string): Response {
  const body = JSON.stringify({ type: 'about:blank', title: TITLES[status], status, detail })
  const challenge = status === 401 ? { 'www-authenticate': 'Bearer realm="enigma-relay"' } : {}
  return new Response(body, { status, headers: { 'content-type': 'application/problem+json', ...challenge } })
}

const TITLES = { 401: 'Unauthorized', 413: 'Content Too Large' } as const

function failed(status: 500 | 503, title: string): Response {
  const body = JSON.stringify({ type: 'about:blank', title, status })
  return new Response(body, { status, headers: { 'content-type': 'application/problem+json' } })
}
