import type { Transport } from './ids.ts'

/**
 * A notification: a packet plus where and when it was received, as a CloudEvent 1.0.
 * Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
 */
export type Notification = {
  /** `<source>/l/<claim>/<index>`, `<source>/p/<epoch>/<index>`, or `<source>/o/<number>/<index>` for the relay's own; the same on each copy, never used twice. */
  readonly id: string
  /** `/enigma/<source id>` */
  readonly source: string
  /** `enigma.<type>.<sub_type>`, for instance `enigma.agents.call`. */
  readonly type: string
  /** The channel's reference; absent for list items. */
  readonly subject?: string | undefined
  /** When the relay received it: ISO 8601, ms, UTC. */
  readonly time: string
  /** `application/json`, `text/plain` for text that is not JSON, `application/octet-stream` for what is not UTF-8. */
  readonly datacontenttype: string
  /** The packet's own text, exactly as received; its bytes when they are not valid UTF-8. */
  readonly data: string | Uint8Array
  readonly transport: Transport
  /** The Redis key or channel. */
  readonly channel: string
  /** Sorts as text; monotonic within one source and transport only. */
  readonly sequence: string
  /** W3C trace context. */
  readonly traceparent?: string | undefined
  /** List items: for how long (ms) at most it may have waited in Redis before `time`. */
  readonly maxwaitms?: number | undefined
  /** Why it has no route of its own (on the `other` route only). */
  readonly reason?: string | undefined
}

/** CloudEvents integers are 32 bits wide; a longer wait is as stale as the longest. */
export const MAX_WAIT_MS = 0x7fff_ffff

const SOURCE_PREFIX = '/enigma/'
const TYPE_PREFIX = 'enigma.'

/** `main` → `/enigma/main` */
export function toEventSource(sourceId: string): string {
  return SOURCE_PREFIX + sourceId
}

/** `/enigma/main` → `main`; a foreign source is returned whole. */
export function toSourceId(source: string): string {
  return source.startsWith(SOURCE_PREFIX) ? source.slice(SOURCE_PREFIX.length) : source
}

/** `agents`, `call` → `enigma.agents.call` */
export function formatEventType(type: string, subType: string): string {
  return `${TYPE_PREFIX}${type}.${subType}`
}

/** `enigma.agents.call` → `{ type: 'agents', subType: 'call' }`; undefined for a foreign type. */
export function parseEventType(eventType: string): { type: string; subType: string } | undefined {
  if (!eventType.startsWith(TYPE_PREFIX)) return undefined
  const dot = eventType.indexOf('.', TYPE_PREFIX.length)
  if (dot < 0) return undefined
  return { type: eventType.slice(TYPE_PREFIX.length, dot), subType: eventType.slice(dot + 1) }
}

/** How old (ms) it may be: the time since it was received, plus the longest that it may have waited before. */
export function ageMs(notification: Pick<Notification, 'time' | 'maxwaitms'>, nowMs: number): number {
  return nowMs - Date.parse(notification.time) + (notification.maxwaitms ?? 0)
}
