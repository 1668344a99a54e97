import { isObject, type Notification } from '../protocol/index.ts'

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
export function deliveryOf(c: { readonly env: unknown }): Delivery<unknown> | undefined {
  const delivery = isObject(c.env) ? c.env['enigma'] : undefined
  return isObject(delivery) ? (delivery as Delivery<unknown>) : undefined
}

/** What `fromSqs` and `fromHttp` run: a Hono app, or anything else with a `fetch` of this kind. */
export type App = { readonly fetch: (request: Request, env: { enigma: unknown }) => Response | Promise<Response> }
