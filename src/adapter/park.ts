import { parseEventType, type Parked } from '../protocol/index.ts'
import { toCommit } from './commit.ts'
import { readMessage, type Entry, type Message } from './message.ts'
import type { Commit } from './options.ts'
import { toReason } from './outcome.ts'
import type { SqsRecord } from './sqs-event.ts'

/** Puts one notification aside: it is finished, and the batch's commit writes it. */
export function parkEntry(entry: Entry<unknown>, reason: string, status: number | undefined): void {
  const { key, notification } = entry
  const types = parseEventType(notification.type)
  const handler = types === undefined ? {} : { handler: `${types.type}/${types.subType}` }
  const answered = status === undefined ? {} : { status }
  entry.parked = { key, notification, reason, ...answered, ...handler, ...about(entry) }
  entry.finished = true
}

/** Puts a message aside that could not be read, as it came. */
export function parkMessage(message: Message<unknown>, reason = message.fault ?? ''): void {
  const { record, contentEncoding } = message
  const encoding = contentEncoding === undefined ? {} : { contentEncoding }
  message.parked = { body: record.body, ...encoding, reason: toReason(reason), ...about(message) }
}

/** A message that SQS itself gave up, as a commit that parks each notification in it but the finished ones. */
export async function parkWhole(
  record: SqsRecord,
  reason: string,
  {
    route,
    status,
    finished,
  }: { readonly route: string; readonly status?: number; readonly finished: ReadonlySet<string> },
): Promise<Commit<never>> {
  const message = await readMessage<never>(record, 1, route)
  for (const entry of message.entries)
    if (finished.has(entry.key)) entry.finished = true
    else parkEntry(entry, reason, status)
  if (message.fault !== undefined) parkMessage(message, `${reason}; ${message.fault}`)
  return toCommit([message])
}

function about({ record, route, attempt, replay }: Pick<Message<unknown>, 'record' | 'route' | 'attempt' | 'replay'>) {
  const { messageId, eventSourceARN, attributes } = record
  const { MessageGroupId: group, ApproximateFirstReceiveTimestamp: first } = attributes
  const firstMs = Number(first)
  return {
    route,
    attempts: attempt,
    messageId,
    eventSourceARN,
    ...(group === undefined ? {} : { messageGroupId: group }),
    ...(first === undefined || Number.isNaN(firstMs) ? {} : { firstReceivedAt: new Date(firstMs).toISOString() }),
    ...(replay === undefined ? {} : { replay }),
  } satisfies Partial<Parked>
}
