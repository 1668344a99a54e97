import { HTTPException } from 'hono/http-exception'
import {
  ageMs,
  CALL_LIMITS,
  fromRequest,
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
import { isTooDeep, MAX_LEVELS, toPacket } from './message.ts'

/**
 * The data that accompany a request besides its headers. `fromSqs` and `fromHttp` pass them to the app as `c.env.enigma`; `event(c)` and
 * `record(c, effect)` read them.
 */
export type Delivery<Effect> = {
  /** Absent for a single event by HTTP, which is read from headers and body. */
  readonly notification?: Notification
  readonly packet?: () => Record<string, unknown> | undefined
  /** When SQS accepted its message (Unix ms). Absent if unknown. */
  readonly sentMs?: number | undefined
  /** How often the notification was delivered, including this time. */
  readonly attempt: number
  /** A failure on this attempt parks the notification. */
  readonly lastAttempt: boolean
  /** An older notification (ms) is stale. Absent: `maxAgeMs` of the route applies. */
  readonly maxAgeMs?: number | undefined
  readonly now: () => number
  readonly record: (effect: Effect) => void
  /** Reports the error behind a response with status 500, for the log and the reason. */
  readonly fail: (error: unknown) => void
}

/**
 * The environment of an app for this adapter.
 *
 * @example const app = new Hono<AdapterEnv<Effect>>()
 */
export type AdapterEnv<Effect = unknown> = { Bindings: { enigma?: Delivery<Effect> } }

/** The part of Hono's context that is used here. */
export type HandlerContext = {
  readonly env: unknown
  readonly req: { readonly raw: Request; arrayBuffer: () => Promise<ArrayBuffer> }
}

/** Returns the delivery behind a request, or undefined if the app runs without `fromSqs` and `fromHttp`. */
export function deliveryOf({ env }: { readonly env: unknown }): Delivery<unknown> | undefined {
  const delivery = isObject(env) ? env['enigma'] : undefined
  return isObject(delivery) ? (delivery as Delivery<unknown>) : undefined
}

/** An app for `fromSqs` and `fromHttp`: a Hono app, or any other object with such a `fetch`. */
export type App = { readonly fetch: (request: Request, env: { enigma: unknown }) => Response | Promise<Response> }

/**
 * Records an effect. A handler does not write itself: the effects of a batch are committed in one go, before outcomes are reported. Effects that
 * were recorded before a handler fails are kept. Effects that are recorded after its response or its time limit are discarded.
 *
 * @example record(c, { kind: 'agent-status', ref: status.reference, to: status.payload.status })
 * @throws AdapterError `adapter.record.no_commit` if the app runs without `fromSqs` and `fromHttp`
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

/** The fields that are as in the CloudEvent. `id` is the same for each copy and each attempt: use it as idempotency key. */
type Received = Pick<Notification, 'id' | 'time' | 'transport' | 'channel' | 'sequence' | 'reason' | 'data'>

/** A notification as a handler sees it. */
export type HandlerEvent<Payload = unknown> = Received & {
  /** The source id, which names the dialler's Redis: `main`. */
  readonly source: string
  /** The type: `agents`. */
  readonly type: string
  /** The sub_type: `call`. */
  readonly subType: string
  /** The reference in the channel, else the `ref` of the payload. */
  readonly reference: string | undefined
  /** When the relay received the notification (Unix ms). */
  readonly timeMs: number
  /** The greatest possible age (ms): the time since the relay received it, plus the longest possible wait in a list before that. */
  readonly ageMs: number
  /** Whether it is older than `maxAgeMs` of its route. Handle a stale notification, but do not show it as live. */
  readonly stale: boolean
  /** When it becomes stale (Unix ms). Absent if it never does. Effects that are committed late are judged by this time. */
  readonly staleAtMs?: number
  /** 1, 2, 3 … */
  readonly attempt: number
  /** A failure on this attempt parks the notification. */
  readonly lastAttempt: boolean
  /** The id of the replay that sent it again. Add it to the idempotency key of a system that must process replayed notifications again. */
  readonly replay?: string
  /** The `payload` of the packet, or the output of the schema if there is one. Undefined if the packet is not a JSON object. */
  readonly payload: Payload
  /** The attributes of the CloudEvent as received, without the data. */
  readonly attributes: Omit<Notification, 'data'>
}

/** A route, or a schema alone. */
type About<Payload = unknown> = Pick<DeclaredRoute<Payload>, 'payload' | 'maxAgeMs'> | StandardSchema<Payload>

/**
 * Returns the notification of a request, both behind SQS and behind HTTP. With a route, the schema of the route checks and types the payload, and
 * the notification is stale after `maxAgeMs` of the route. A schema alone only checks and types the payload.
 *
 * @example const { reference, payload } = await event(c, route)
 * @throws HTTPException 422 if the payload does not match the schema. It names the field, never its value. The notification is parked
 * @throws HTTPException 400 if an HTTP request is not a CloudEvent
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
  // If the clock of the relay is fast, an old notification would look fresh. So the time since SQS accepted it counts too.
  const nowMs = (delivery?.now ?? Date.now)()
  const age = Math.max(ageMs(notification, nowMs), nowMs - (delivery?.sentMs ?? Infinity))
  // Without a route, the usual limit of calls applies: a late screen pop must not look like one that is on time.
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
    const notification = fromRequest(c.req.raw.headers, new Uint8Array(await c.req.arrayBuffer()))
    // An unreadable time becomes the oldest possible time, so that the notification never looks fresh.
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
  const mismatch = (detail: string) => problem(422, 'The payload does not match the schema', detail)
  if (payload === undefined && isTooDeep(data)) throw mismatch(`the packet is nested deeper than ${MAX_LEVELS} levels`)
  const result = await schema['~standard'].validate(payload)
  if (result.issues === undefined) return result.value
  throw mismatch(describeIssues(result.issues, payload))
}

/** Makes an error whose response is problem+json. */
const problem = (status: 400 | 422, title: string, detail: string): HTTPException =>
  new HTTPException(status, { message: `${title}: ${detail}`, res: problemResponse(status, title, detail) })

const MAX_ISSUES = 5

/** Describes the fields that do not match, and why, but never their values: `payload.status: must not be empty; payload.end_code: …`. */
function describeIssues(issues: readonly SchemaIssue[], payload: unknown): string {
  const described = issues.slice(0, MAX_ISSUES).map((issue) => {
    const path = (issue.path ?? []).map((part) => (typeof part === 'object' ? part.key : part))
    const field = maskText(['payload', ...path.map(String)].join('.'))
    return quotesValue(issue.message, valueAt(payload, path))
      ? `${field} does not match the schema`
      : `${field}: ${maskText(issue.message, payload)}`
  })
  if (issues.length > MAX_ISSUES) described.push(`and ${issues.length - MAX_ISSUES} more`)
  return described.join('; ')
}

function valueAt(payload: unknown, path: readonly PropertyKey[]): unknown {
  let value = payload
  for (const key of path) value = isObject(value) || Array.isArray(value) ? Reflect.get(value, key) : undefined
  return value
}

// Several schema libraries quote the value in the message.
function quotesValue(message: string, value: unknown): boolean {
  if (typeof value === 'string') return value !== '' && message.includes(value)
  return typeof value === 'number' && message.includes(String(value))
}
