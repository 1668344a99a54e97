import { HTTPException } from 'hono/http-exception'
import {
  ageMs,
  CALL_LIMITS,
  fromHttp,
  isObject,
  maskText,
  parseEventType,
  ProtocolError,
  REPLAY_HEADER,
  referenceOf,
  toSourceId,
  type DeclaredRoute,
  type Notification,
  type SchemaIssue,
  type StandardSchema,
} from '../protocol/index.ts'
import { AdapterError, problemResponse } from './adapter-error.ts'
import { isTooDeep, MOST_LEVELS, toPacket } from './message.ts'

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

/** These of a notification are as in its CloudEvent. Its `id` is the same on each copy and each attempt: the idempotency key. */
type Received = Pick<Notification, 'id' | 'time' | 'transport' | 'channel' | 'sequence' | 'reason' | 'data'>

/** A notification as a handler sees it. */
export type HandlerEvent<Payload = unknown> = Received & {
  /** Which dialler's Redis: `main`. */
  readonly source: string
  /** `agents` */
  readonly type: string
  /** `call` */
  readonly subType: string
  /** The channel's reference, else the payload's `ref`. */
  readonly reference: string | undefined
  /** When the relay received it, unix ms. */
  readonly timeMs: number
  /** How old (ms) it may be: since it was received, plus the longest that it may have waited in a list before. */
  readonly ageMs: number
  /** Older than its route allows: handle it, but do not show it as live. */
  readonly stale: boolean
  /** Unix ms from which it is stale; absent where it never is. An effect that is committed later is judged by it. */
  readonly staleAtMs?: number
  /** 1, 2, 3 … */
  readonly attempt: number
  /** What fails now is parked. */
  readonly lastAttempt: boolean
  /** The id of the replay that sent it again: a part of the idempotency key towards a system that must see it again. */
  readonly replay?: string
  /** The packet's `payload`; what the schema made of it when there is one. Undefined when the packet is not a JSON object. */
  readonly payload: Payload
  /** Its CloudEvent as it came, without the data. */
  readonly attributes: Omit<Notification, 'data'>
}

/** What `event` needs to know of a route. */
type About<Payload = unknown> = Pick<DeclaredRoute<Payload>, 'payload' | 'maxAgeMs'> | StandardSchema<Payload>

/**
 * The notification that a request is about, behind SQS and behind HTTP alike. With its route, its payload is checked and typed by the
 * route's schema, and it is stale after the route's `maxAgeMs`. A schema alone checks the payload only.
 *
 * @example const { reference, payload } = await event(c, route)
 * @throws HTTPException 422 that names the field which does not fit (never its value): such a notification is parked
 * @throws HTTPException 400 when an HTTP request is not a CloudEvent
 */
export async function event(c: HandlerContext): Promise<HandlerEvent>
export async function event<Payload>(c: HandlerContext, about: About<Payload>): Promise<HandlerEvent<Payload>>
export async function event(c: HandlerContext, about?: About): Promise<HandlerEvent> {
  const delivery = deliveryOf(c)
  const notification = delivery?.notification ?? (await readRequest(c))
  const packet = delivery?.packet === undefined ? toPacket(notification.data) : delivery.packet()
  const payload = packet?.['payload']
  const { data: _, ...attributes } = notification
  const { type, subType } = parseEventType(notification.type) ?? { type: 'unknown', subType: notification.type }
  const timeMs = Date.parse(notification.time)
  // A relay whose clock is ahead must not make old ones look fresh: SQS knows since when it has had them.
  const nowMs = (delivery?.now ?? Date.now)()
  const age = Math.max(ageMs(notification, nowMs), nowMs - (delivery?.sentMs ?? Infinity))
  // Where no route says it, a call is stale as calls are: a screen pop that comes too late must not look like one that is on time.
  const usual = subType === 'call' ? CALL_LIMITS.maxAgeMs : undefined
  const { payload: schema, maxAgeMs } =
    about !== undefined && 'payload' in about ? about : { payload: about, maxAgeMs: usual }
  const maxAge = delivery?.maxAgeMs ?? maxAgeMs
  const replay = c.req.raw.headers.get(REPLAY_HEADER)
  return {
    id: notification.id,
    source: toSourceId(notification.source),
    type,
    subType,
    reference: toReference(notification.subject, payload),
    time: notification.time,
    timeMs,
    transport: notification.transport,
    channel: notification.channel,
    sequence: notification.sequence,
    ageMs: age,
    stale: age > (maxAge ?? Infinity),
    ...(maxAge === undefined ? {} : { staleAtMs: nowMs + maxAge - age }),
    attempt: delivery?.attempt ?? 1,
    lastAttempt: delivery?.lastAttempt ?? false,
    ...(notification.reason === undefined ? {} : { reason: notification.reason }),
    ...(replay === null ? {} : { replay }),
    payload: schema === undefined ? payload : await check(schema, payload, notification.data),
    data: notification.data,
    attributes,
  }
}

async function readRequest(c: HandlerContext): Promise<Notification> {
  try {
    const notification = fromHttp(c.req.raw.headers, new Uint8Array(await c.req.arrayBuffer()))
    // A time that cannot be read is the oldest one, so that it never looks fresh.
    return Number.isNaN(Date.parse(notification.time))
      ? { ...notification, time: new Date(0).toISOString() }
      : notification
  } catch (error) {
    if (error instanceof ProtocolError) throw problem(400, 'Not a CloudEvent', error.message)
    throw error
  }
}

function toReference(subject: string | undefined, payload: unknown): string | undefined {
  if (subject !== undefined && subject !== '') return subject
  return isObject(payload) ? referenceOf(payload['ref']) : undefined
}

async function check(schema: StandardSchema, payload: unknown, data: Notification['data']): Promise<unknown> {
  const misfit = (detail: string) => problem(422, 'The payload does not match the schema', detail)
  if (payload === undefined && isTooDeep(data)) throw misfit(`the packet is nested deeper than ${MOST_LEVELS} levels`)
  const result = await schema['~standard'].validate(payload)
  if (result.issues === undefined) return result.value
  throw misfit(describeIssues(result.issues, payload))
}

/** An error that answers with problem+json. */
const problem = (status: 400 | 422, title: string, detail: string): HTTPException =>
  new HTTPException(status, { message: `${title}: ${detail}`, res: problemResponse(status, title, detail) })

const MOST_ISSUES = 5

/** `payload.status: must not be empty; payload.end_code` : the fields that do not fit and why, never what is in them. */
function describeIssues(issues: readonly SchemaIssue[], payload: unknown): string {
  const described = issues.slice(0, MOST_ISSUES).map((issue) => {
    const path = (issue.path ?? []).map((part) => (typeof part === 'object' ? part.key : part))
    const field = maskText(['payload', ...path.map(String)].join('.'))
    return quotesValue(issue.message, valueAt(payload, path))
      ? `${field} does not match the schema`
      : `${field}: ${maskText(issue.message, payload)}`
  })
  if (issues.length > MOST_ISSUES) described.push(`and ${issues.length - MOST_ISSUES} more`)
  return described.join('; ')
}

function valueAt(payload: unknown, path: readonly PropertyKey[]): unknown {
  let value = payload
  for (const key of path) value = isObject(value) || Array.isArray(value) ? Reflect.get(value, key) : undefined
  return value
}

// Several libraries write what they received into the message.
function quotesValue(message: string, value: unknown): boolean {
  if (typeof value === 'string') return value !== '' && message.includes(value)
  return typeof value === 'number' && message.includes(String(value))
}
