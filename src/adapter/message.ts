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
 * What Lambda hands to a function behind an SQS queue, as far as this room reads it; `SQSEvent` and `Context` of
 * `@types/aws-lambda` fit. Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
 */
export type SqsEvent = { readonly Records: readonly SqsRecord[] }

/** One message of the batch. */
export type SqsRecord = {
  readonly messageId: string
  readonly receiptHandle: string
  readonly body: string
  readonly attributes: {
    /** How often SQS has handed it out, this time included. */
    readonly ApproximateReceiveCount: string
    /** Unix ms. */
    readonly ApproximateFirstReceiveTimestamp?: string | undefined
    /** When SQS took it, unix ms. */
    readonly SentTimestamp?: string | undefined
    readonly MessageGroupId?: string | undefined
  }
  readonly messageAttributes?: { readonly [name: string]: { readonly stringValue?: string | undefined } | undefined }
  readonly eventSourceARN: string
}

/** The answer: SQS deletes every message of the batch but these. Needs `ReportBatchItemFailures` on the event source mapping. */
export type SqsBatchResponse = { batchItemFailures: { itemIdentifier: string }[] }

/** The part of Lambda's context that says how long the function may still run. */
export type LambdaContext = { getRemainingTimeInMillis: () => number }

/** Longest key (characters) that is kept as it is; the relay's own have some 40. */
const MOST_KEY = 500

/** What is known of a message, and so of each notification in it. A message is one of SQS, or a single notification of an HTTP request. */
export type Delivered = {
  /** The same on each attempt. */
  readonly messageId: string
  /** The name by which its finished notifications are remembered. */
  readonly memory: string
  /** Of its function: `agents-call`. */
  readonly route: string
  /** 1, 2, 3 … */
  readonly attempt: number
  readonly lastAttempt: boolean
  /** An earlier delivery may have finished a part of it. */
  readonly isAgain: boolean
  readonly replay?: Replay
  readonly messageGroupId?: string | undefined
  /** Absent behind HTTP. */
  readonly eventSourceARN?: string
  /** When SQS took it, and when it first handed it out: unix ms. Absent: not known. */
  readonly sentMs?: number | undefined
  readonly firstReceivedMs?: number | undefined
  /** How it is put aside with the next commit: a notification, or a message that could not be read. */
  parked?: Parked
}

/** One message of a batch, read. */
export type Message<Effect> = Delivered & {
  readonly entries: readonly Entry<Effect>[]
  /** As it came; behind HTTP, the packet. */
  readonly body: string
  /** Why it could not be read. */
  readonly fault?: string
  readonly contentEncoding?: string | undefined
}

/** One notification in it, and what has become of it in this batch. */
export type Entry<Effect> = Delivered & {
  /** What makes copies of it the same. */
  readonly key: string
  readonly notification: Notification
  readonly packet: () => Record<string, unknown> | undefined
  readonly effects: Effect[]
  /** Why this attempt failed. */
  failure?: { readonly reason: string; readonly status?: number }
  /** Handled or parked, now or before: it does not run again. */
  finished: boolean
  /** It was finished in an earlier attempt of its own message. */
  remembered: boolean
}

/** Never throws: what cannot be read has a `fault`. */
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
    isAgain: attempt > 1,
    ...replay,
    messageGroupId: attributes.MessageGroupId,
    eventSourceARN,
    sentMs: Number(attributes.SentTimestamp) || undefined,
    firstReceivedMs: Number(attributes.ApproximateFirstReceiveTimestamp) || undefined,
  }
  const about = { ...own, body, contentEncoding }
  try {
    const notifications = await readBody(body, contentEncoding)
    const entries = await Promise.all(
      notifications.map(async (notification) => toEntry<Effect>(notification, await toKey(notification), own)),
    )
    return entries.length > 0 ? { ...about, entries } : { ...about, entries, fault: 'the body is an empty batch' }
  } catch (error) {
    return { ...about, entries: [], fault: error instanceof ProtocolError ? error.message : 'the body cannot be read' }
  }
}

/** A notification that has not run. */
export function toEntry<Effect>(notification: Notification, key: string, own: Delivered): Entry<Effect> {
  const packet = lazily(() => toPacket(notification.data))
  return { ...own, key, notification, packet, effects: [], finished: false, remembered: false }
}

/** The name of a message's queue. */
const queueOf = ({ eventSourceARN }: SqsRecord): string => eventSourceARN.slice(eventSourceARN.lastIndexOf(':') + 1)

/**
 * What makes copies of a notification the same. The relay's ids begin with the source's id; of a foreign event only source and id together are unique
 * (CloudEvents 1.0, `id`). It is remembered as the member of a set, which Upstash takes up to 32 KB.
 */
export async function toKey({ id, source }: Notification): Promise<string> {
  const key = id.startsWith(`${toSourceId(source)}/`) ? id : `${source} ${id}`
  if (key.length <= MOST_KEY) return key
  const digest = await crypto.subtle.digest('SHA-256', new Uint8Array(toBytes(key)))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** What keeps its order: one reference of one type and sub_type, by the relay's own rule. */
export const toOrder = (entry: Entry<unknown>): string => `${entry.notification.type} ${toReferenceKey(entry)}`

/** The reference that keeps its order. */
export function toReferenceKey({ notification, packet }: Pick<Entry<unknown>, 'notification' | 'packet'>): string {
  const read = packet()
  // As in the relay: a packet that could not be routed has no payload either.
  return orderKey(notification.subject, typeof read?.['type'] === 'string' ? read['payload'] : undefined)
}

/** Whether it need not come again. */
export const isFinished = ({ fault, entries, parked }: Message<unknown>): boolean =>
  fault === undefined ? entries.every((entry) => entry.finished) : parked !== undefined

/** A dialler's packets have a few levels; what walks through many, such as `JSON.stringify`, runs out of stack. */
export const MOST_LEVELS = 500

/** Whether a packet is nested too deep to be read. */
export const isTooDeep = (data: string | Uint8Array): boolean => typeof data === 'string' && isDeeper(data, MOST_LEVELS)

/** The packet of a notification, or undefined when it is not a JSON object, or nested too deep. Long integers come as strings of their digits. */
export function toPacket(data: string | Uint8Array): Record<string, unknown> | undefined {
  if (typeof data !== 'string' || data === '' || isTooDeep(data)) return undefined
  try {
    const value = parseExact(data)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** `make()` once, when it is first asked for. */
function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => (made ??= { value: make() }).value
}

/** Puts one notification aside: it is finished, and the batch's commit writes it. */
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

/** Puts a message aside that could not be read, as it came. */
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
