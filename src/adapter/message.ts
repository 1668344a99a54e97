import {
  CONTENT_ENCODING,
  isDeeper,
  isObject,
  orderKey,
  PARKED,
  parseEventType,
  parseExact,
  ProtocolError,
  readBody,
  REPLAY,
  toBytes,
  toSourceId,
  type Notification,
  type Parked,
  type Replay,
} from '../protocol/index.ts'
import { toReason } from './adapter-error.ts'

/**
 * The event of a Lambda function behind an SQS queue, as far as the adapter reads it. `SQSEvent` and `Context` of `@types/aws-lambda` are
 * assignable. Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
 */
export type SqsEvent = { readonly Records: readonly SqsRecord[] }

/** One SQS message of the event. */
export type SqsRecord = {
  readonly messageId: string
  readonly receiptHandle: string
  readonly body: string
  readonly attributes: {
    /** How often SQS has delivered it, including this time. */
    readonly ApproximateReceiveCount: string
    /** Unix ms. */
    readonly ApproximateFirstReceiveTimestamp?: string | undefined
    /** When SQS accepted it (Unix ms). */
    readonly SentTimestamp?: string | undefined
    readonly MessageGroupId?: string | undefined
  }
  readonly messageAttributes?: { readonly [name: string]: { readonly stringValue?: string | undefined } | undefined }
  readonly eventSourceARN: string
}

/** The response: SQS deletes every message of the batch except these. Requires `ReportBatchItemFailures` on the event source mapping. */
export type SqsBatchResponse = { batchItemFailures: { itemIdentifier: string }[] }

/** The part of Lambda's context that returns the remaining time of the function. */
export type LambdaContext = { getRemainingTimeInMillis: () => number }

/** A longer key (characters) is replaced by its digest. The relay's ids have about 40. */
const MAX_KEY_LENGTH = 500

/** The properties of a message, which each notification in it shares. A message is an SQS message, or a single notification of an HTTP request. */
export type Delivered = {
  /** The same on each attempt. */
  readonly messageId: string
  /** The name under which its finished notifications are remembered (`Commit.done`). */
  readonly memory: string
  /** The name of its route: `agents-call`. */
  readonly route: string
  /** 1, 2, 3 … */
  readonly attempt: number
  readonly lastAttempt: boolean
  /** Whether it was delivered before, so that a part of it may be finished. */
  readonly isRedelivery: boolean
  readonly replay?: Replay
  readonly messageGroupId?: string | undefined
  /** Absent behind HTTP. */
  readonly eventSourceARN?: string
  /** When SQS accepted it, and when SQS first delivered it (Unix ms). Absent if unknown. */
  readonly sentMs?: number | undefined
  readonly firstReceivedMs?: number | undefined
  /** The parked entry that the next commit writes, for a notification or an unreadable message. */
  parked?: Parked
}

/** A message of a batch after reading. */
export type Message<Effect> = Delivered & {
  readonly entries: readonly Entry<Effect>[]
  /** The body as received. Behind HTTP: the packet. */
  readonly body: string
  /** Why the message could not be read. */
  readonly fault?: string
  readonly contentEncoding?: string | undefined
}

/** A notification in a message, and its outcome in this batch. */
export type Entry<Effect> = Delivered & {
  /** The key that all its copies share. */
  readonly key: string
  readonly notification: Notification
  readonly packet: () => Record<string, unknown> | undefined
  readonly effects: Effect[]
  /** Why this attempt failed. */
  failure?: { readonly reason: string; readonly status?: number }
  /** Whether it was handled or parked, now or before. It does not run again. */
  finished: boolean
  /** Whether an earlier attempt of its own message finished it. */
  remembered: boolean
}

/** Reads an SQS message. Never throws: an unreadable message has a `fault`. */
export async function readMessage<Effect>(
  record: SqsRecord,
  attempts: number,
  route = queueOf(record).replace(/\.fifo$/, ''),
): Promise<Message<Effect>> {
  const { messageId, body, eventSourceARN, attributes } = record
  const count = Number(attributes.ApproximateReceiveCount)
  const attempt = Number.isInteger(count) && count > 0 ? count : 1
  const lastAttempt = attempt >= attempts
  const contentEncoding = record.messageAttributes?.[CONTENT_ENCODING]?.stringValue
  const job = record.messageAttributes?.[REPLAY]?.stringValue
  const entry = record.messageAttributes?.[PARKED]?.stringValue
  const replay = job === undefined || entry === undefined ? {} : { replay: { job, entry } }
  const own = {
    messageId,
    memory: messageId,
    route,
    attempt,
    lastAttempt,
    isRedelivery: attempt > 1,
    ...replay,
    messageGroupId: attributes.MessageGroupId,
    eventSourceARN,
    sentMs: Number(attributes.SentTimestamp) || undefined,
    firstReceivedMs: Number(attributes.ApproximateFirstReceiveTimestamp) || undefined,
  }
  const common = { ...own, body, contentEncoding }
  try {
    const notifications = await readBody(body, contentEncoding)
    const entries = await Promise.all(
      notifications.map(async (notification) =>
        toEntry<Effect>(notification, await toNotificationKey(notification), own),
      ),
    )
    return entries.length > 0 ? { ...common, entries } : { ...common, entries, fault: 'the body is an empty batch' }
  } catch (error) {
    return { ...common, entries: [], fault: error instanceof ProtocolError ? error.message : 'the body cannot be read' }
  }
}

/** Makes the entry of a notification that has not run yet. */
export function toEntry<Effect>(notification: Notification, key: string, own: Delivered): Entry<Effect> {
  const packet = lazily(() => toPacket(notification.data))
  return { ...own, key, notification, packet, effects: [], finished: false, remembered: false }
}

/** Returns the name of a message's queue. */
const queueOf = ({ eventSourceARN }: SqsRecord): string => eventSourceARN.slice(eventSourceARN.lastIndexOf(':') + 1)

/**
 * Returns the key that all copies of a notification share. Ids of the relay begin with the source id. For a foreign event, only source and id
 * together are unique (CloudEvents 1.0, `id`). Keys are stored as members of a set, which Upstash limits to 32 KB.
 */
export async function toNotificationKey({ id, source }: Notification): Promise<string> {
  const key = id.startsWith(`${toSourceId(source)}/`) ? id : `${source} ${id}`
  if (key.length <= MAX_KEY_LENGTH) return key
  const digest = await crypto.subtle.digest('SHA-256', new Uint8Array(toBytes(key)))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Returns the key of the stream in which a notification keeps its order: type, sub_type and order key. */
export const toStreamKey = (entry: Entry<unknown>): string => `${entry.notification.type} ${toOrderKey(entry)}`

/** Returns the order key of a notification, by the same rule as the relay. */
export function toOrderKey({ notification, packet }: Pick<Entry<unknown>, 'notification' | 'packet'>): string {
  const read = packet()
  // In the relay, a packet without a readable `type` has no payload either.
  return orderKey(notification.subject, typeof read?.['type'] === 'string' ? read['payload'] : undefined)
}

/** Returns whether a message needs no further delivery. */
export const isFinished = ({ fault, entries, parked }: Message<unknown>): boolean =>
  fault === undefined ? entries.every((entry) => entry.finished) : parked !== undefined

/** The maximum nesting of a packet. Packets of diallers have a few levels; recursive code such as `JSON.stringify` overflows the stack at too many. */
export const MAX_LEVELS = 500

/** Returns whether a packet is nested too deeply to be read. */
export const isTooDeep = (data: string | Uint8Array): boolean => typeof data === 'string' && isDeeper(data, MAX_LEVELS)

/** Parses the packet of a notification. Returns undefined if it is not a JSON object or nested too deeply. Long integers become strings. */
export function toPacket(data: string | Uint8Array): Record<string, unknown> | undefined {
  if (typeof data !== 'string' || data === '' || isTooDeep(data)) return undefined
  try {
    const value = parseExact(data)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Returns a function that calls `make` the first time, and returns the same value afterwards. */
function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => (made ??= { value: make() }).value
}

/** Parks a notification: it is finished, and the commit of the batch writes it. */
export function parkEntry(
  entry: Entry<unknown>,
  { reason, status, maxAgeMs }: { reason: string; status?: number | undefined; maxAgeMs: number | undefined },
): void {
  const { key, notification } = entry
  const types = parseEventType(notification.type)
  const handler = types === undefined ? {} : { handler: `${types.type}/${types.subType}` }
  const answered = status === undefined ? {} : { status }
  const limit = maxAgeMs === undefined ? {} : { maxAgeMs }
  entry.parked = { key, notification, reason, ...answered, ...handler, ...limit, ...about(entry) }
  entry.finished = true
}

/** Parks a message that could not be read, unchanged. */
export function parkMessage(message: Message<unknown>, reason = message.fault ?? ''): void {
  const { body, contentEncoding } = message
  const encoding = contentEncoding === undefined ? {} : { contentEncoding }
  message.parked = { body, ...encoding, reason: toReason(reason), ...about(message) }
}

function about({ messageId, route, attempt, replay, eventSourceARN, messageGroupId, firstReceivedMs }: Delivered) {
  return {
    route,
    attempts: attempt,
    messageId,
    ...(eventSourceARN === undefined ? {} : { eventSourceARN }),
    ...(messageGroupId === undefined ? {} : { messageGroupId }),
    ...(firstReceivedMs === undefined ? {} : { firstReceivedAt: new Date(firstReceivedMs).toISOString() }),
    ...(replay === undefined ? {} : { replay }),
  } satisfies Partial<Parked>
}
