import { formatEvent, parseEvents } from './cloudevents.ts'
import { parseEventType, ProtocolError, toNotification, type Notification } from './notification.ts'
import { fromBase64, toBase64, toBytes, toText } from './text.ts'

/**
 * The CloudEvents HTTP binding, binary mode: attributes in `ce-*` headers, the packet itself as the body.
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

/** The headers that name the replay which sent a notification again, and the parked entry or the CDR that it sent. */
export const REPLAY_HEADER = 'ce-replay'
export const PARKED_HEADER = 'ce-parked'

/** The media types of a batch of events, and of a single one. Source: section 3.1 of the binding, and the JSON format. */
export const BATCH_TYPE = 'application/cloudevents-batch+json'
export const EVENT_TYPE = 'application/cloudevents+json'

/** The media type of the answer to a batch: `{"outcomes":[…]}`, one for each event, in the order of the request. */
export const OUTCOMES_TYPE = 'application/vnd.enigma-relay.outcomes+json'

/** What became of an event: `done` and `parked` are settled; `retry` is to be sent again, with the attempt one higher. */
export type HttpOutcome = {
  /** Of the event. */
  readonly id: string
  readonly outcome: 'done' | 'parked' | 'retry'
  /** Seconds until it may be tried again; with `retry` only. */
  readonly after?: number
}

// Section 3.1.3.2: space, double quote, percent and everything outside printable ASCII is percent-encoded as UTF-8.
const encodeHeader = (text: string): string =>
  text.toWellFormed().replace(/[^\x21\x23\x24\x26-\x7e]/gu, encodeURIComponent)

function decodeHeader(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const segment = (text: string) => {
  // A URL takes these two segments out of a path, also when they are percent-encoded; `%252E` survives and is decoded twice below.
  if (text === '.' || text === '..') return text.replaceAll('.', '%252E')
  return encodeURIComponent(text.toWellFormed())
}

/** `/agents/call/1002`; without a reference `/campaigns/cdr`. Segments are percent-encoded. */
export function toPath(n: Pick<Notification, 'type' | 'subject'>): string {
  const parsed = parseEventType(n.type) ?? { type: 'unknown', subType: n.type }
  const base = `/${segment(parsed.type)}/${segment(parsed.subType)}`
  return n.subject === undefined || n.subject === '' ? base : `${base}/${segment(n.subject)}`
}

/** The `ce-*` headers and the content type. */
export function toHeaders(n: Notification): Headers {
  const headers = new Headers({ 'content-type': n.datacontenttype, 'ce-specversion': '1.0' })
  for (const name of ATTRIBUTES) {
    const value = n[name]
    if (value !== undefined && value !== '') headers.set(`ce-${name}`, encodeHeader(String(value)))
  }
  return headers
}

/** The request for a handler: `POST /<type>/<sub_type>[/<reference>]`. Host and scheme mean nothing. */
export function toRequest(n: Notification, signal?: AbortSignal): Request {
  return new Request(`http://enigma${toPath(n)}`, {
    method: 'POST',
    headers: toHeaders(n),
    body: n.data as string | Uint8Array<ArrayBuffer>,
    ...(signal === undefined ? {} : { signal }),
  })
}

/**
 * The inverse of `toRequest`: headers and the body's bytes into a notification.
 *
 * @throws ProtocolError `protocol.event.invalid` naming the header that is missing.
 */
export function fromHttp(headers: Headers, body: Uint8Array): Notification {
  const get = (name: string) => {
    const value = headers.get(`ce-${name}`)
    // A header that is there and empty says as little as none.
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

/** The name of the SQS message attribute that says that a body is compressed, and its value. */
export const CONTENT_ENCODING = 'content-encoding'
export const GZIP = 'gzip'

/** The names of the SQS message attributes that name the replay that sent a message, and the parked entry that it sent. */
export const REPLAY = 'replay'
export const PARKED = 'parked'

async function through(bytes: Uint8Array, transform: CompressionStream | DecompressionStream): Promise<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(transform)
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** A message body, gzipped, as base64 text: for a body over the queue's limit. */
export const gzipBody = async (body: string): Promise<string> =>
  toBase64(await through(toBytes(body), new CompressionStream('gzip')))

/** @throws ProtocolError `protocol.body.not_gzip` */
export async function gunzipBody(body: string): Promise<string> {
  try {
    const text = toText(await through(fromBase64(body), new DecompressionStream('gzip')))
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
 * The notifications in an SQS message: one event, a batch, or either gzipped.
 *
 * @throws ProtocolError when the body is none of these.
 */
export const readBody = async (body: string, contentEncoding?: string): Promise<Notification[]> =>
  parseEvents(contentEncoding === GZIP ? await gunzipBody(body) : body)

/** Compression hardly makes smaller messages smaller. */
const LEAST_PACKED = 4_096

/** A notification as the body of a message: gzipped where that makes it smaller. */
export async function packEvent(
  event: Notification,
): Promise<{ readonly body: string; readonly contentEncoding?: string }> {
  const text = formatEvent(event)
  const bytes = toBytes(text).length
  if (bytes < LEAST_PACKED) return { body: text }
  const packed = await gzipBody(text)
  return packed.length < bytes ? { body: packed, contentEncoding: GZIP } : { body: text }
}

/** Why a notification is parked that no message of the queue can hold. */
export const tooLarge = (maxBytes: number, queue: string): string =>
  `more than the ${maxBytes} bytes of ${queue}, also when gzipped`

/** The same of a request to an HTTP server, which is never gzipped. */
export const tooLargeForRequest = (maxBytes: number): string => `more than the ${maxBytes} bytes of a request`

const WORDS = /^more than the \d+ bytes of (?:[\w.-]+, also when gzipped|a request)$/

/** Whether these are the relay's own words: nothing in them is personal, and their figures are of use. */
export const isTooLarge = (detail: string): boolean => WORDS.test(detail)

/** The outcomes of a batch besides the effects of its handlers: the adapter finds them, the read model keeps them. */
export type Outcomes = {
  /** Notifications that are put aside. They are safe only when the commit of the batch has written them. */
  readonly parked: readonly Parked[]
  /** Attempts that failed and will be repeated: one for each message and reason. */
  readonly failed: readonly Failed[]
  /** Messages that a replay had sent and that are finished now. */
  readonly replayed: readonly Replayed[]
}

/** An attempt that failed. */
export type Failed = {
  readonly messageId: string
  /** 1, 2, 3 … */
  readonly attempt: number
  /** One masked line of at most 500 characters. */
  readonly reason: string
  /** The handler's HTTP status, if it answered. */
  readonly status?: number
  /** The keys of the notifications that failed so. */
  readonly keys: readonly string[]
}

/** Of a message that a replay had sent: its SQS message attributes, or its headers `ce-replay` and `ce-parked`. */
export type Replay = {
  /** The replay's id: `replay`. */
  readonly job: string
  /** The id of the parked entry: `parked`. */
  readonly entry: string
}

/** The outcome of such a message. */
export type Replayed = Replay & {
  readonly messageId: string
  /** It was parked again. */
  readonly hasFailed: boolean
}

/** A notification (or a message that could not be read) that is put aside, with all that sending it again takes. */
export type Parked = {
  /** Of its function: `agents-call`. */
  readonly route: string
  /** What makes copies of the notification the same; absent for a message that could not be read. */
  readonly key?: string
  /** Absent: the whole message could not be read, and `body` is there instead. */
  readonly notification?: Notification
  /** The message's body as it came, and its `content-encoding`. */
  readonly body?: string
  readonly contentEncoding?: string
  /** One masked line of at most 500 characters. */
  readonly reason: string
  /** The handler's HTTP status, if it answered. */
  readonly status?: number
  /** How often its message was handed out. */
  readonly attempts: number
  /** `agents/call`: which handler gave it up. */
  readonly handler?: string
  readonly messageId: string
  readonly messageGroupId?: string
  /** Of the queue that it came from; absent for what came by HTTP. */
  readonly eventSourceARN?: string
  /** When SQS first handed out its message: ISO 8601. */
  readonly firstReceivedAt?: string
  /** Older ones (ms) are stale, as its route says. */
  readonly maxAgeMs?: number
  /** A replay had sent it. */
  readonly replay?: Replay
}
