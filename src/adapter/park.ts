import { parseEventType } from '../protocol/index.ts'
import { describeError } from './errors.ts'
import type { Log } from './log.ts'
import type { Entry, Message } from './message.ts'
import type { Parked } from './options.ts'
import { toReason } from './outcome.ts'
import type { SqsRecord } from './sqs-event.ts'
import { within } from './within.ts'

export type ParkOptions = {
  readonly park: (parked: Parked) => Promise<void>
  readonly limitMs: () => number
  readonly log: Log
}

/** Parks one notification. Returns whether it is put aside; if not, it has to come again. */
export async function parkEntry(
  entry: Entry<unknown>,
  reason: string,
  status: number | undefined,
  options: ParkOptions,
): Promise<boolean> {
  const { notification, record, attempt } = entry
  const types = parseEventType(notification.type)
  const handler = types === undefined ? {} : { handler: `${types.type}/${types.subType}` }
  const answered = status === undefined ? {} : { status }
  return tryPark({ notification, reason, ...answered, ...handler, attempts: attempt, ...about(record) }, options)
}

/** Parks a message that could not be read, as it came. */
export async function parkMessage(message: Message<unknown>, options: ParkOptions): Promise<boolean> {
  const { record, contentEncoding, attempt, fault } = message
  const encoding = contentEncoding === undefined ? {} : { contentEncoding }
  return tryPark(
    { body: record.body, ...encoding, reason: toReason(fault ?? ''), attempts: attempt, ...about(record) },
    options,
  )
}

async function tryPark(parked: Parked, { park, limitMs, log }: ParkOptions): Promise<boolean> {
  const { reason, messageId, attempts, handler, notification } = parked
  const what = { messageId, id: notification?.id, handler, attempts, reason }
  try {
    await within(limitMs(), () => park(parked))
    log({ level: 'warn', code: 'adapter.park.parked', message: 'the notification was parked', ...what })
    return true
  } catch (error) {
    log({
      level: 'error',
      code: 'adapter.park.failed',
      message: 'the notification could not be parked; SQS will deliver it again',
      ...what,
      error: describeError(error),
    })
    return false
  }
}

function about({ messageId, eventSourceARN, attributes }: SqsRecord) {
  const { MessageGroupId: group, ApproximateFirstReceiveTimestamp: first } = attributes
  const firstMs = Number(first)
  return {
    messageId,
    eventSourceARN,
    ...(group === undefined ? {} : { messageGroupId: group }),
    ...(first === undefined || Number.isNaN(firstMs) ? {} : { firstReceivedAt: new Date(firstMs).toISOString() }),
  }
}
