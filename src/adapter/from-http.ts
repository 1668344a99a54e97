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
   * Who may send: holders of a bearer token, or of a secret for Standard Webhooks signatures. Other senders get 401 before the body is read
   * as an event. Use `false` only if a gateway in front authenticates senders: otherwise everybody can write to the read model.
   */
  readonly verify: Verify
  /**
   * Writes effects and parked notifications in one go, before the response is sent: pass `store.commit`. Called at most once per request.
   * Notifications in `parked` that it does not write are lost.
   */
  readonly commit: (batch: Commit<Effect>) => Promise<void>
  /**
   * The time limit of a request (ms), including up to two seconds for the commit. Notifications that have not run by then are retried. Set it lower
   * than the time that the relay waits for a response (10 s), and than the platform's limit. Default 8,000.
   */
  readonly limitMs?: number
  /**
   * A notification that fails on this attempt is parked. Default 10. With several functions, this option, the next two and `maxAgeMs` are ignored:
   * each route has its own values.
   */
  readonly attempts?: number
  /** The longest pause (s) before a failed notification is retried while the read model is available. Default 300. */
  readonly retrySeconds?: number
  /** The longest pause (s) if `commit` or `recall` fails. Default 300. */
  readonly outageSeconds?: number
  /** The name of the route, for parked notifications. Default: the header `ce-route`, else derived from the type: `agents-call`. */
  readonly route?: string
}

/** Less than the ten seconds that the relay waits for a response. */
const LIMIT_MS = 8_000

/**
 * Returns a `fetch` handler that runs Hono apps behind HTTP. It receives the batches of CloudEvents that a relay sends to an HTTP target, and
 * answers with the outcome of each event, as `fromSqs` does: references in order, effects committed once, failures retried or parked. It also
 * receives single events (binary or structured) from other senders: it commits the effects and then sends the response of the handler, or 503 if
 * the commit failed. Their sender is responsible for order and retries.
 *
 * @example serve({ fetch: fromHttp(app, { verify: { webhook: 'whsec_…' }, commit: store.commit, recall: store.recall }) })
 * @example
 * import * as call from './functions/agents/call.ts'
 * import * as other from './functions/other.ts'
 * export const handler = { fetch: fromHttp([call, other], { verify: { webhook: 'whsec_…' }, ...store }) }
 * @throws AdapterError `adapter.verify.invalid` if `verify` is missing or has no usable secret; `adapter.functions.invalid` if two functions have the
 * same route or one has no app
 */
export function fromHttp<Effect>(app: App | readonly HttpFunction[], options: FromHttpOptions<Effect>) {
  const { now = Date.now, log = logToConsole, limitMs = LIMIT_MS, timeoutMs, check } = options
  const { maxAgeMs, attempts = 10, retrySeconds = 300, outageSeconds = 300 } = options
  const verify = createVerify(options.verify, now)
  const own = { attempts, retrySeconds, outageSeconds, ...(maxAgeMs === undefined ? {} : { maxAgeMs }) }
  const find = 'fetch' in app ? hostApp(app, options.route, own) : hostFunctions(app)
  const handleBatch = createBatches({ ...options, now, log, isOneRequest: true })
  const answerBatch = createHttpBatches({ find, handleBatch, limitMs, timeoutMs, check, now, log })

  /** Handles a single event, or a request that is not an event. Returns the response of the app. */
  const answerOne = async (request: Request, env: object | undefined): Promise<Response> => {
    const hosted = find(request.headers.get('ce-route'), request.headers.get('ce-type') ?? '')
    if (hosted === undefined) return problemResponse(404, 'No function takes this request')
    const effects: Effect[] = []
    let isOpen = true
    const delivery: Delivery<Effect> = {
      attempt: 1,
      lastAttempt: false,
      maxAgeMs: hosted.limits.maxAgeMs,
      now,
      record: (effect) => {
        check?.(effect)
        if (isOpen) effects.push(effect)
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
      // A Hono app rejects only if a thrown value is not an Error.
      delivery.fail(error)
      response = problemResponse(500, 'The handler failed')
    }
    isOpen = false
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

/** Converts a single structured event to binary mode. Returns a response that names the fault if the body is not such an event. */
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
