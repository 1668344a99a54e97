import { BATCH_TYPE, EVENT_TYPE, parseEvents, ProtocolError, REPLAY_HEADER, toRequest } from '../protocol/index.ts'
import { describeError, logFailure, logToConsole, problemResponse } from './adapter-error.ts'
import { createBatches } from './batch.ts'
import type { Commit } from './commit.ts'
import type { App, Delivery } from './event.ts'
import type { FromSqsOptions } from './from-sqs.ts'
import { createHttpBatches, hostApp, hostFunctions, type HttpFunction } from './http-batch.ts'
import { createVerify, type Verified, type Verify } from './verify.ts'

type Shared<Effect> = Pick<
  FromSqsOptions<Effect>,
  'check' | 'recall' | 'maxAgeMs' | 'maxParallel' | 'timeoutMs' | 'now' | 'log'
>

export type FromHttpOptions<Effect> = Shared<Effect> & {
  /**
   * Who may send: a bearer token, or a signature of Standard Webhooks. Whoever may not gets 401 before anything of the body is read as an
   * event. `false` only where something before it checks that: everybody who reaches this address can write to the read model then.
   */
  readonly verify: Verify
  /**
   * Writes what was recorded and what is parked, at once, before the answer goes out: `store.commit` does. Once per request at most.
   * Notifications in `parked` that it does not write are lost.
   */
  readonly commit: (batch: Commit<Effect>) => Promise<void>
  /**
   * How long (ms) a request may take, of which up to two seconds are for the commit. What has not run by then is tried again. Less than the relay
   * waits for an answer, and less than the platform lets a request run. Default 8,000.
   */
  readonly limitMs?: number
  /** On this attempt, what fails is parked alone. Default 10. Of several functions, each route says it, as it does the next two and `maxAgeMs`. */
  readonly attempts?: number
  /** Longest pause (s) before one is tried again that fails while the read model works. Default 300. */
  readonly retrySeconds?: number
  /** The same where `commit` or `recall` fails. Default 300. */
  readonly outageSeconds?: number
  /** The route's name, by which parked notifications are found. Default: the one in `ce-route`, else that of its type: `agents-call`. */
  readonly route?: string
}

/** Less than the relay waits for an answer, which is ten seconds. */
const LIMIT_MS = 8_000

/**
 * Hono apps behind HTTP: a `fetch` handler. It takes what the relay sends to an HTTP target, a batch of CloudEvents, and answers with the outcome
 * of each, exactly as `fromSqs` would have it: references in order, effects committed once, failures retried or parked. It takes single events
 * (binary or structured) of any other pusher as well: what the handler recorded is committed, then its answer goes out, and 503 when the commit
 * fails; order and retries are the pusher's.
 *
 * @example serve({ fetch: fromHttp(app, { verify: { webhook: 'whsec_…' }, commit: store.commit, recall: store.recall }) })
 * @example
 * import * as call from './functions/agents/call.ts'
 * import * as other from './functions/other.ts'
 * export const handler = { fetch: fromHttp([call, other], { verify: { webhook: 'whsec_…' }, ...store }) }
 * @throws AdapterError `adapter.verify.invalid` when `verify` is missing or has no usable secret, `adapter.functions.invalid`
 */
export function fromHttp<Effect>(app: App | readonly HttpFunction[], options: FromHttpOptions<Effect>) {
  const { now = Date.now, log = logToConsole, limitMs = LIMIT_MS, timeoutMs, check } = options
  const { maxAgeMs, attempts = 10, retrySeconds = 300, outageSeconds = 300 } = options
  const verify = createVerify(options.verify, now)
  const own = { attempts, retrySeconds, outageSeconds, ...(maxAgeMs === undefined ? {} : { maxAgeMs }) }
  const find = 'fetch' in app ? hostApp(app, options.route, own) : hostFunctions(app)
  const handleBatch = createBatches({ ...options, now, log, isOneRequest: true })
  const answerBatch = createHttpBatches({ find, handleBatch, limitMs, timeoutMs, check, now, log })

  /** One event, or a request that is none: the app's own answer goes out. */
  const answerOne = async (request: Request, env: object | undefined): Promise<Response> => {
    const hosted = find(request.headers.get('ce-route'), request.headers.get('ce-type') ?? '')
    if (hosted === undefined) return problemResponse(404, 'No function takes this request')
    const effects: Effect[] = []
    let open = true
    const delivery: Delivery<Effect> = {
      attempt: 1,
      lastAttempt: false,
      maxAgeMs: hosted.limits.maxAgeMs,
      now,
      record: (effect) => {
        check?.(effect)
        if (open) effects.push(effect)
        else
          log({
            level: 'error',
            code: 'adapter.record.too_late',
            message: 'the handler recorded an effect after its response; the effect was discarded',
          })
      },
      fail: logFailure(log),
    }
    let response: Response
    try {
      response = await hosted.app.fetch(request, { ...env, enigma: delivery })
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
        message: 'the effects could not be committed; the request was answered with 503',
        error: describeError(error),
      })
      return problemResponse(503, 'The effects could not be written')
    }
  }

  return async (given: Request, env?: object): Promise<Response> => {
    let verified: Verified
    try {
      verified = await verify(given)
    } catch (error) {
      log({
        level: 'error',
        code: 'adapter.verify.failed',
        message: 'a request could not be verified; it was answered with 503',
        error: describeError(error),
      })
      return problemResponse(503, 'The request could not be verified')
    }
    if ('detail' in verified)
      return verified.status === 401
        ? problemResponse(401, 'Unauthorized', verified.detail, { 'www-authenticate': 'Bearer realm="enigma-relay"' })
        : problemResponse(413, 'Content Too Large', verified.detail)
    const { request } = verified
    const type = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
    if (type === BATCH_TYPE) return answerBatch(request, env)
    if (type !== EVENT_TYPE) return answerOne(request, env)
    const single = await unpackEvent(request)
    return single instanceof Response ? single : answerOne(single, env)
  }
}

/** A single structured event in binary mode, or what is wrong with it. */
async function unpackEvent(given: Request): Promise<Request | Response> {
  try {
    const [notification, ...more] = parseEvents(await given.text())
    if (notification === undefined || more.length > 0)
      throw new ProtocolError('protocol.event.invalid', `the body is not a single event; send a batch as ${BATCH_TYPE}`)
    const request = toRequest(notification)
    for (const name of [REPLAY_HEADER, 'ce-route']) {
      const value = given.headers.get(name)
      if (value !== null) request.headers.set(name, value)
    }
    return request
  } catch (error) {
    if (error instanceof ProtocolError) return problemResponse(400, 'Not a CloudEvent', error.message)
    throw error
  }
}
