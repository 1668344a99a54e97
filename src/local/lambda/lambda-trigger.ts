import { DeleteMessageBatchCommand, ReceiveMessageCommand, type Message, type SQSClient } from '@aws-sdk/client-sqs'
import type { Context, SQSBatchResponse, SQSEvent, SQSMessageAttribute, SQSRecord } from 'aws-lambda'
import { randomUUID } from 'node:crypto'
import * as v from 'valibot'
import { RELAY_ROUTES } from '../../protocol/index.ts'
import { backoffMs, sleep, within, type Logger } from '../../runtime/index.ts'
import { nameOf, StreetError } from '../servers.ts'

/** A message as Lambda gives it to a function. Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
export type LambdaRecord = SQSRecord

/** The handler of a function. Its context has the fields that a local run can know. Its answer names the messages that must stay on the queue. */
export type LambdaHandler = (
  event: SQSEvent,
  context: Pick<Context, 'functionName' | 'awsRequestId' | 'getRemainingTimeInMillis'>,
) => Promise<SQSBatchResponse | null | void>

/** The handler of a function that a schedule also invokes. */
export type ScheduledHandler = (event: { readonly source: 'aws.events' }) => Promise<unknown>

/** The result of one invocation. */
export type Invocation = {
  readonly functionName: string
  readonly records: readonly LambdaRecord[]
  /** Ids of the failed messages. The others are done, and are deleted after `onInvocation`. */
  readonly failed: ReadonlySet<string>
}

export type LambdaTriggerOptions = {
  /** The client's HTTP agent needs a socket for each poller, and some more (`maxSockets`). */
  readonly sqs: SQSClient
  readonly queueUrl: string
  /** The ARN in each record. The region of a record is taken from this ARN. */
  readonly queueArn: string
  readonly handler: LambdaHandler
  readonly functionName: string
  /** The function's time limit, ms. A longer invocation fails, as in Lambda, but it cannot be ended here. Default 30,000. */
  readonly timeoutMs?: number
  /** Concurrent batches, so that a slow batch does not block other message groups. Default 4. */
  readonly pollers?: number
  /** How long (s) one request waits for messages, 1 to 20. Default 20. */
  readonly waitSeconds?: number
  readonly log: Logger
  readonly onInvocation?: (invocation: Invocation) => void
}

/** Creates Lambda's event source mapping for one queue: it sends batches to the function, and deletes exactly the messages that did not fail. */
export const createLambdaTrigger = (options: LambdaTriggerOptions) => ({
  /** Polls until the signal aborts. Resolves when the current batches are handled and deleted. */
  run: async (signal: AbortSignal): Promise<void> => {
    await Promise.all(Array.from({ length: options.pollers ?? 4 }, () => poll(options, signal)))
  },
})

async function poll(options: LambdaTriggerOptions, signal: AbortSignal): Promise<void> {
  const { sqs, queueUrl: QueueUrl, waitSeconds = 20, functionName, log } = options
  let failures = 0
  while (!signal.aborted) {
    try {
      const receive = new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: waitSeconds,
        MessageSystemAttributeNames: ['All'],
        MessageAttributeNames: ['All'],
      })
      // Abort a request that waits for messages. A batch that has arrived is handled and deleted.
      const { Messages = [] } = await sqs.send(receive, { abortSignal: signal })
      failures = 0
      const done = Messages.length === 0 ? [] : await invoke(options, Messages)
      const Entries = done.map(({ ReceiptHandle }, at) => ({ Id: String(at), ReceiptHandle }))
      if (Entries.length > 0) await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
    } catch (error) {
      if (signal.aborted) return
      failures++
      // Log the first of several failures in a row. The message of SQS contains no payload.
      if (failures === 1)
        log.error(
          { code: 'dev.trigger.sqs_refused', function: functionName, error: (error as Error).message },
          'SQS rejected a request; the trigger retries',
        )
      await sleep(backoffMs(failures), signal)
    }
  }
}

/** Invokes the function. Returns the messages that did not fail. */
async function invoke(options: LambdaTriggerOptions, messages: readonly Message[]): Promise<Message[]> {
  const { handler, functionName, queueArn, timeoutMs = 30_000, log, onInvocation } = options
  const records = messages.map((message) => toLambdaRecord(message, queueArn))
  const ids = new Set(records.map((record) => record.messageId))
  const endMs = performance.now() + timeoutMs
  const context = {
    functionName,
    awsRequestId: randomUUID(),
    getRemainingTimeInMillis: () => Math.max(0, endMs - performance.now()),
  }
  const late = () => new StreetError('dev.function.timed_out', `the function did not answer within ${timeoutMs} ms`)
  let failed: ReadonlySet<string> = ids
  try {
    const answer = readAnswer(await within(timeoutMs, handler({ Records: records }, context), late), ids)
    if (answer === 'all')
      log.error(
        { code: 'dev.function.bad_answer', function: functionName },
        'the function returned an answer that Lambda does not understand: the whole batch counts as failed',
      )
    else failed = answer
  } catch (error) {
    log.error(
      { code: 'dev.function.threw', function: functionName, error: nameOf(error) },
      'the function threw an error: the whole batch counts as failed',
    )
  }
  onInvocation?.({ functionName, records, failed })
  return messages.filter((message) => !failed.has(message.MessageId ?? ''))
}

/** Converts a message of the SQS API to a record as Lambda makes it. */
export function toLambdaRecord(message: Message, queueArn: string): LambdaRecord {
  const messageAttributes = Object.entries(message.MessageAttributes ?? {}).map(
    ([name, { StringValue, BinaryValue, DataType = 'String' }]): [string, SQSMessageAttribute] => {
      const text = StringValue === undefined ? {} : { stringValue: StringValue }
      const bytes = BinaryValue === undefined ? {} : { binaryValue: Buffer.from(BinaryValue).toString('base64') }
      return [name, { ...text, ...bytes, dataType: DataType, stringListValues: [], binaryListValues: [] }]
    },
  )
  return {
    messageId: message.MessageId ?? '',
    receiptHandle: message.ReceiptHandle ?? '',
    body: message.Body ?? '',
    attributes: { ApproximateReceiveCount: '1', ...message.Attributes } as SQSRecord['attributes'],
    messageAttributes: Object.fromEntries(messageAttributes),
    md5OfBody: message.MD5OfBody ?? '',
    eventSource: 'aws:sqs',
    eventSourceARN: queueArn,
    awsRegion: queueArn.split(':')[3] ?? '',
  }
}

const ANSWER = v.nullish(v.object({ batchItemFailures: v.nullish(v.array(v.object({ itemIdentifier: v.string() }))) }))

/**
 * Returns the ids of the messages that the function reports as failed, or `all`. If Lambda does not understand the answer, or if it names
 * a message that is not in the batch, the whole batch fails.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
 */
export function readAnswer(answer: unknown, messageIds: ReadonlySet<string>): ReadonlySet<string> | 'all' {
  if (!v.is(ANSWER, answer)) return 'all'
  const failed = new Set(answer?.batchItemFailures?.map(({ itemIdentifier }) => itemIdentifier))
  return [...failed].every((id) => messageIds.has(id)) ? failed : 'all'
}

/** The interval of the schedule. It is shorter than on AWS, so that a user does not wait for minutes. */
const SCHEDULE_MS = 10_000

/** Calls a function at intervals, as a schedule does on AWS and at the edge. */
export async function runOnSchedule(run: () => Promise<unknown>, log: Logger, signal: AbortSignal): Promise<void> {
  for (;;) {
    await sleep(SCHEDULE_MS, signal)
    if (signal.aborted) return
    await run().catch((error: unknown) =>
      log.error(
        { code: 'dev.function.threw', function: RELAY_ROUTES.replay.name, error: nameOf(error) },
        'the function that runs on a schedule threw an error; the next attempt follows',
      ),
    )
  }
}
