import type { SqsEvent, SqsRecord } from '../../src/adapter/index.ts'
import { formatEvent, formatSequence, gzipBody, joinEvents, type Notification } from '../../src/protocol/index.ts'

export const QUEUE_ARN = 'arn:aws:sqs:us-east-1:000000000000:enigma-agents-status.fifo'
export const RECEIVED = '2026-03-02T08:00:00.000Z'

/** A notification of an agent's status: `n('1002', 1)`. */
export function notification(
  reference: string,
  index: number,
  own: Partial<Notification> & { payload?: unknown } = {},
): Notification {
  const { payload = { status: 'available', ref: reference, index }, ...rest } = own
  return {
    id: `main/p/7/${index}`,
    source: '/enigma/main',
    type: 'enigma.agents.status',
    subject: reference,
    time: RECEIVED,
    datacontenttype: 'application/json',
    data: JSON.stringify({ type: 'status', payload }),
    transport: 'pubsub',
    channel: `enigma:notifications:agents:${reference}`,
    sequence: formatSequence(7, index),
    ...rest,
  }
}

/** A CDR as taken from a list: it has no subject. */
export function cdr(
  callRef: number | string,
  index: number,
  own: Partial<Notification> & { payload?: unknown } = {},
): Notification {
  const { subject: _none, ...rest } = notification('', index, {
    payload: { call_ref: callRef, dialed_at: 1_764_000_000, ref: '12' },
    ...own,
  })
  return {
    ...rest,
    id: `main/l/9/${index}`,
    type: 'enigma.campaigns.cdr',
    transport: 'list',
    channel: 'enigma:notifications:campaigns',
  }
}

export type RecordOptions = {
  messageId?: string
  group?: string
  receiveCount?: number
  encoding?: string
  sentMs?: number
}

/** An SQS message as Lambda delivers it. Text as `content` is used as the body unchanged. */
export function sqsRecord(content: readonly Notification[] | string, options: RecordOptions = {}): SqsRecord {
  const { messageId = 'm1', group = '5', receiveCount = 1, encoding, sentMs } = options
  return {
    messageId,
    receiptHandle: `receipt-${messageId}-${receiveCount}`,
    body: typeof content === 'string' ? content : joinEvents(content.map(formatEvent)),
    attributes: {
      ApproximateReceiveCount: String(receiveCount),
      ApproximateFirstReceiveTimestamp: String(Date.parse(RECEIVED)),
      MessageGroupId: group,
      ...(sentMs === undefined ? {} : { SentTimestamp: String(sentMs) }),
    },
    messageAttributes: encoding === undefined ? {} : { 'content-encoding': { stringValue: encoding } },
    eventSourceARN: QUEUE_ARN,
  }
}

export async function gzippedRecord(content: readonly Notification[], options: RecordOptions = {}): Promise<SqsRecord> {
  return sqsRecord(await gzipBody(joinEvents(content.map(formatEvent))), { ...options, encoding: 'gzip' })
}

export function sqsEvent(...records: readonly SqsRecord[]): SqsEvent {
  return { Records: records }
}
