import { formatEvent, parseEvents } from './cloudevents.ts'
import { ProtocolError, type Notification } from './notification.ts'
import { fromBase64, isObject, toBase64, toBytes, toText } from './text.ts'
import { referenceOf } from './values.ts'

/** Messages of the queues: their group, their body and attributes, and the outcomes of the notifications in them. */

/**
 * What keeps its order: the channel's reference; for list items, which have none, the payload's `call_ref`, else its `ref`;
 * else the empty text, so that what names nothing stays in one order too.
 */
export function orderKey(reference: string | undefined, payload: unknown): string {
  if (reference !== undefined && reference !== '') return reference
  if (!isObject(payload)) return ''
  return referenceOf(payload['call_ref']) ?? referenceOf(payload['ref']) ?? ''
}

/** The lane of an order key: FNV-1a over its UTF-16 units, modulo the number of lanes. The SQS message group is its decimal text. */
export function laneOf(key: string, lanes: number): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) {
    hash ^= key.charCodeAt(at)
    hash = Math.imul(hash, 0x01000193)
  }
  return (hash >>> 0) % lanes
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
