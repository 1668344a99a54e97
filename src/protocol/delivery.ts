import { formatEvent, parseEvents } from './cloudevents.ts'
import { parseEventType, ProtocolError, toNotification, type Notification } from './notification.ts'
import { fromBase64, toBase64, toBytes, toText } from './text.ts'

/*
 * How notifications are delivered to functions: the HTTP request for one notification, the body of an SQS message, and the outcomes.
 *
 * HTTP uses the binary mode of the CloudEvents binding: attributes in `ce-*` headers, and the packet as the body.
 * Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
 */

const ATTRIBUTES = [
  'id',
  'source',
  'type',
  'subject',
  'time',
  'transport',
  'channel',
  'sequence',
  'traceparent',
  'maxwaitms',
  'reason',
] as const

/** The headers of a replayed notification: the id of the replay, and the id of the parked entry or CDR that it sends again. */
export const REPLAY_HEADER = 'ce-replay'
export const PARKED_HEADER = 'ce-parked'

/** The media types of a batch of events and of a single event. Source: section 3.1 of the binding, and the JSON format. */
export const BATCH_TYPE = 'application/cloudevents-batch+json'
export const EVENT_TYPE = 'application/cloudevents+json'

/** The media type of the response to a batch: `{"outcomes":[…]}`, one outcome for each event, in the order of the request. */
export const OUTCOMES_TYPE = 'application/vnd.enigma-relay.outcomes+json'

/** The outcome of an event. `done` and `parked`: it is settled. `retry`: send it again, with the attempt increased by one. */
export type HttpOutcome = {
  /** The id of the event. */
  readonly id: string
  readonly outcome: 'done' | 'parked' | 'retry'
  /** Seconds to wait before the next attempt. Only with `retry`. */
  readonly after?: number
}

// Section 3.1.3.2 of the binding: space, double quote, percent and everything outside printable ASCII is percent-encoded as UTF-8.
const encodeHeader = (text: string): string =>
  text.toWellFormed().replace(/[^\x21\x23\x24\x26-\x7e]/gu, encodeURIComponent)

function decodeHeader(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const encodeSegment = (text: string) => {
  // URL parsers remove these two segments from a path, even when they are percent-encoded. `%252E` survives: its percent sign is encoded once more.
  if (text === '.' || text === '..') return text.replaceAll('.', '%252E')
  return encodeURIComponent(text.toWellFormed())
}

/** Returns the path for a notification: `/agents/call/1002`, or `/campaigns/cdr` without a reference. Segments are percent-encoded. */
export function toPath(n: Pick<Notification, 'type' | 'subject'>): string {
  const parsed = parseEventType(n.type) ?? { type: 'unknown', subType: n.type }
  const base = `/${encodeSegment(parsed.type)}/${encodeSegment(parsed.subType)}`
  return n.subject === undefined || n.subject === '' ? base : `${base}/${encodeSegment(n.subject)}`
}

/** Returns the `ce-*` headers and the content type of a notification. */
export function toHeaders(n: Notification): Headers {
  const headers = new Headers({ 'content-type': n.datacontenttype, 'ce-specversion': '1.0' })
  for (const name of ATTRIBUTES) {
    const value = n[name]
    if (value !== undefined && value !== '') headers.set(`ce-${name}`, encodeHeader(String(value)))
  }
  return headers
}

/** Makes the request for a handler: `POST /<type>/<sub_type>[/<reference>]`. Host and scheme have no meaning. */
export function toRequest(n: Notification, signal?: AbortSignal): Request {
  return new Request(`http://enigma${toPath(n)}`, {
    method: 'POST',
    headers: toHeaders(n),
    body: n.data as string | Uint8Array<ArrayBuffer>,
    ...(signal === undefined ? {} : { signal }),
  })
}

/**
 * Reads a notification from the headers and the body of a request: the inverse of `toRequest`.
 *
 * @throws ProtocolError `protocol.event.invalid`, which names the missing header.
 */
export function fromRequest(headers: Headers, body: Uint8Array): Notification {
  const get = (name: string) => {
    const value = headers.get(`ce-${name}`)
    // An empty header counts as absent.
    return value === null || value === '' ? undefined : decodeHeader(value)
  }
  return toNotification({
    get,
    missing: (name) => new ProtocolError('protocol.event.invalid', `the header ce-${name} is missing`),
    time: get('time'),
    datacontenttype: headers.get('content-type') || undefined,
    maxwaitms: get('maxwaitms'),
    data: () => toText(body) ?? body,
  })
}

/** The SQS message attribute of a compressed body: its name and its value. */
export const CONTENT_ENCODING = 'content-encoding'
export const GZIP = 'gzip'

/** The SQS message attributes of a replayed message: the id of the replay, and the id of the parked entry that it sends again. */
export const REPLAY = 'replay'
export const PARKED = 'parked'

async function pipeThroughBytes(
  bytes: Uint8Array,
  transform: CompressionStream | DecompressionStream,
): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(transform)
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** Returns a message body gzipped, as base64 text. Used for bodies over the queue's limit. */
export const gzipBody = async (body: string): Promise<string> =>
  toBase64(await pipeThroughBytes(toBytes(body), new CompressionStream('gzip')))

/** Reverses `gzipBody`. @throws ProtocolError `protocol.body.not_gzip` */
export async function gunzipBody(body: string): Promise<string> {
  try {
    const text = toText(await pipeThroughBytes(fromBase64(body), new DecompressionStream('gzip')))
    if (text !== undefined) return text
  } catch (cause) {
    throw new ProtocolError(
      'protocol.body.not_gzip',
      'the attribute content-encoding says gzip, but the body is not gzip in base64',
      { cause },
    )
  }
  throw new ProtocolError('protocol.body.not_gzip', 'the gzipped body is not UTF-8 text')
}

/**
 * Reads the notifications in an SQS message: a single event or a batch, plain or gzipped.
 *
 * @throws ProtocolError `protocol.event.invalid` or `protocol.body.not_gzip` for any other body.
 */
export const readBody = async (body: string, contentEncoding?: string): Promise<Notification[]> =>
  parseEvents(contentEncoding === GZIP ? await gunzipBody(body) : body)

/** Below this size (bytes), gzip and base64 save hardly anything. */
const MIN_GZIP_BYTES = 4_096

/** Writes a notification as a message body, gzipped if that makes it smaller. */
export async function packEvent(
  event: Notification,
): Promise<{ readonly body: string; readonly contentEncoding?: string }> {
  const text = formatEvent(event)
  const bytes = toBytes(text).length
  if (bytes < MIN_GZIP_BYTES) return { body: text }
  const packed = await gzipBody(text)
  return packed.length < bytes ? { body: packed, contentEncoding: GZIP } : { body: text }
}

/** Returns the reason for parking a notification that exceeds the message size of its queue. */
export const tooLarge = (maxBytes: number, queue: string): string =>
  `more than the ${maxBytes} bytes of ${queue}, also when gzipped`

/** Returns the reason for parking a notification that exceeds the request size of an HTTP server. Requests are never gzipped. */
export const tooLargeForRequest = (maxBytes: number): string => `more than the ${maxBytes} bytes of a request`

const TOO_LARGE = /^more than the \d+ bytes of (?:[\w.-]+, also when gzipped|a request)$/

/** Returns whether a text is one of the two reasons above. They contain no personal data, so their figures need no mask. */
export const isTooLarge = (detail: string): boolean => TOO_LARGE.test(detail)

/** The outcomes of a batch, apart from the effects of its handlers. The adapter determines them; the read model stores them. */
export type Outcomes = {
  /** Parked notifications. They are safe only after the commit of the batch has written them. */
  readonly parked: readonly Parked[]
  /** Failed attempts that will be repeated: one for each message and reason. */
  readonly failed: readonly Failed[]
  /** Finished messages that a replay had sent. */
  readonly replayed: readonly Replayed[]
}

/** A failed attempt. */
export type Failed = {
  readonly messageId: string
  /** 1, 2, 3 … */
  readonly attempt: number
  /** One masked line of at most 500 characters. */
  readonly reason: string
  /** The handler's HTTP status, if it answered. */
  readonly status?: number
  /** The keys of the notifications that failed for this reason. */
  readonly keys: readonly string[]
}

/** Identifies a replayed message: its SQS message attributes, or its headers `ce-replay` and `ce-parked`. */
export type Replay = {
  /** The id of the replay: attribute `replay`. */
  readonly job: string
  /** The id of the parked entry: attribute `parked`. */
  readonly entry: string
}

/** The outcome of a replayed message. */
export type Replayed = Replay & {
  readonly messageId: string
  /** Whether it was parked again. */
  readonly hasFailed: boolean
}

/** A parked notification, or an unreadable message, with everything that is needed to send it again. */
export type Parked = {
  /** The name of its route: `agents-call`. */
  readonly route: string
  /** The key that all copies of the notification share. Absent for an unreadable message. */
  readonly key?: string
  /** Absent for an unreadable message, which has `body` instead. */
  readonly notification?: Notification
  /** The body of the message, unchanged, and its `content-encoding`. */
  readonly body?: string
  readonly contentEncoding?: string
  /** One masked line of at most 500 characters. */
  readonly reason: string
  /** The handler's HTTP status, if it answered. */
  readonly status?: number
  /** How often its message was delivered. */
  readonly attempts: number
  /** The kind of the notification, and so its handler: `agents/call`. */
  readonly handler?: string
  readonly messageId: string
  readonly messageGroupId?: string
  /** The ARN of its queue. Absent if it was delivered by HTTP. */
  readonly eventSourceARN?: string
  /** When SQS first delivered its message: ISO 8601. */
  readonly firstReceivedAt?: string
  /** The `maxAgeMs` of its route: an older notification is stale. */
  readonly maxAgeMs?: number
  /** The replay that had sent it, if any. */
  readonly replay?: Replay
}
