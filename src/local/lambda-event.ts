import type { Message } from '@aws-sdk/client-sqs'

/** One message as Lambda hands it to a function. Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
export type LambdaRecord = {
  readonly messageId: string
  readonly receiptHandle: string
  readonly body: string
  readonly attributes: { readonly ApproximateReceiveCount: string; readonly [name: string]: string }
  readonly messageAttributes: { readonly [name: string]: LambdaAttribute }
  readonly md5OfBody: string
  readonly eventSource: 'aws:sqs'
  readonly eventSourceARN: string
  readonly awsRegion: string
}

type LambdaAttribute = {
  readonly stringValue?: string
  readonly binaryValue?: string
  readonly dataType: string
  readonly stringListValues: []
  readonly binaryListValues: []
}

/** The event of a batch. */
export type LambdaEvent = { readonly Records: readonly LambdaRecord[] }

/** A function's answer: SQS deletes all but these. */
export type LambdaAnswer = {
  readonly batchItemFailures?: readonly { readonly itemIdentifier: string }[] | null
} | null | void

/** What a function gets besides the event, as far as a local one can know. */
export type LambdaContext = {
  readonly functionName: string
  readonly awsRequestId: string
  getRemainingTimeInMillis: () => number
}

export type LambdaHandler = (event: LambdaEvent, context: LambdaContext) => Promise<LambdaAnswer>

/** A function that a schedule calls as well. */
export type ScheduledHandler = (event: { readonly source: 'aws.events' }) => Promise<unknown>

/** A message as the SQS API gives it → the record that Lambda makes of it. */
export function toLambdaRecord(message: Message, queueArn: string): LambdaRecord {
  const messageAttributes = Object.entries(message.MessageAttributes ?? {}).map(
    ([name, value]): [string, LambdaAttribute] => {
      const { StringValue, BinaryValue, DataType = 'String' } = value
      const text = StringValue === undefined ? {} : { stringValue: StringValue }
      const bytes = BinaryValue === undefined ? {} : { binaryValue: Buffer.from(BinaryValue).toString('base64') }
      return [name, { ...text, ...bytes, dataType: DataType, stringListValues: [], binaryListValues: [] }]
    },
  )
  return {
    messageId: message.MessageId ?? '',
    receiptHandle: message.ReceiptHandle ?? '',
    body: message.Body ?? '',
    attributes: { ApproximateReceiveCount: '1', ...message.Attributes },
    messageAttributes: Object.fromEntries(messageAttributes),
    md5OfBody: message.MD5OfBody ?? '',
    eventSource: 'aws:sqs',
    eventSourceARN: queueArn,
    awsRegion: queueArn.split(':')[3] ?? '',
  }
}

/**
 * The ids of the messages that the function has failed, or `all`: Lambda takes an answer that it does not understand, or that
 * names a message which is not in the batch, for a failure of the whole batch.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
 */
export function readAnswer(answer: unknown, messageIds: ReadonlySet<string>): ReadonlySet<string> | 'all' {
  if (answer === null || answer === undefined) return new Set()
  if (typeof answer !== 'object') return 'all'
  const failures: unknown = 'batchItemFailures' in answer ? answer.batchItemFailures : undefined
  if (failures === null || failures === undefined) return new Set()
  if (!Array.isArray(failures)) return 'all'
  const failed = new Set<string>()
  for (const failure of failures as unknown[]) {
    const id: unknown =
      typeof failure === 'object' && failure !== null && 'itemIdentifier' in failure
        ? failure.itemIdentifier
        : undefined
    if (typeof id !== 'string' || !messageIds.has(id)) return 'all'
    failed.add(id)
  }
  return failed
}
