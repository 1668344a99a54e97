import { Hono, type ErrorHandler } from 'hono'
import { isObject, type Notification } from '../protocol/index.ts'
import { AdapterError, describeError, describeStack, logToConsole, type Log } from './adapter-error.ts'

/**
 * What comes with a request besides its headers: handed to the app as `c.env.enigma` by `fromSqs` and `fromHttp`, read by
 * `event(c)` and `record(c, effect)`.
 */
export type Delivery<Effect> = {
  /** Absent behind HTTP, where headers and body tell. */
  readonly notification?: Notification
  readonly packet?: () => Record<string, unknown> | undefined
  /** When SQS took its message, unix ms. Absent: not known. */
  readonly sentMs?: number | undefined
  /** How often this notification's message was handed out, this time included. */
  readonly attempt: number
  /** What fails now is parked. */
  readonly lastAttempt: boolean
  /** Older (ms) is stale. Absent: as the route table says. */
  readonly maxAgeMs?: number | undefined
  readonly now: () => number
  readonly record: (effect: Effect) => void
  /** Notes the error behind a 500, for the log and the reason. */
  readonly fail: (error: unknown) => void
}

/**
 * The environment of an app for this adapter.
 *
 * @example const app = new Hono<AdapterEnv<Effect>>()
 */
export type AdapterEnv<Effect = unknown> = { Bindings: { enigma?: Delivery<Effect> } }

/** The part of Hono's context that is read here. */
export type HandlerContext = {
  readonly env: unknown
  readonly req: { readonly raw: Request; arrayBuffer: () => Promise<ArrayBuffer> }
}

/** The delivery behind a request; undefined when the app runs without `fromSqs` and `fromHttp`. */
export function deliveryOf({ env }: { readonly env: unknown }): Delivery<unknown> | undefined {
  const delivery = isObject(env) ? env['enigma'] : undefined
  return isObject(delivery) ? (delivery as Delivery<unknown>) : undefined
}

/** What `fromSqs` and `fromHttp` run: a Hono app, or anything else with a `fetch` of this kind. */
export type App = { readonly fetch: (request: Request, env: { enigma: unknown }) => Response | Promise<Response> }

/**
 * Notes an effect. A handler writes nothing itself: what all handlers of a batch recorded is committed in one go, before outcomes
 * are reported. Effects recorded before a step that fails stay; effects recorded after the answer or the time limit are not kept.
 *
 * @example record(c, { kind: 'agent-status', ref: status.reference, to: status.payload.status })
 * @throws AdapterError `adapter.record.no_commit` when the app runs neither behind `fromSqs` nor behind `fromHttp`
 */
export function record<Effect>(
  c: { readonly env: { readonly enigma?: Delivery<Effect> } },
  effect: NoInfer<Effect>,
): void {
  const delivery = c.env?.enigma
  if (delivery === undefined) {
    throw new AdapterError(
      'adapter.record.no_commit',
      'record(c, effect) was called outside fromSqs and fromHttp, so nothing would commit the effect: run the app with one of them',
    )
  }
  delivery.record(effect)
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

/** Logs an error of a handler. */
export const logFailure = (log: Log) => (error: unknown) =>
  log({
    level: 'error',
    code: 'adapter.handler.failed',
    message: 'the handler failed',
    error: describeError(error),
    stack: describeStack(error),
  })

/** An answer that says what is wrong. Source: RFC 9457. */
export function problemResponse(
  status: number,
  title: string,
  detail?: string,
  more?: Record<string, string>,
): Response {
  const body = JSON.stringify({ type: 'about:blank', title, status, detail })
  return new Response(body, { status, headers: { 'content-type': 'application/problem+json', ...more } })
}
