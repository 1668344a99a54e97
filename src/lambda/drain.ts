import type { Message } from '@aws-sdk/client-sqs'
import { describeError, logToConsole, parkWhole, type Commit, type Log, type SqsRecord } from '../adapter/index.ts'
import { deadLetterQueueName, queueName, type Route, type Routes } from '../protocol/index.ts'
import { StoreError } from '../store/index.ts'
import { queueUrl, sqs } from './queues.ts'
import { describeSqsError } from './sqs-errors.ts'

export type DrainOptions = {
  /** Of the queues' names: `enigma-`. */
  readonly prefix: string
  readonly routes: Routes
  /** Parks what is in the batch. */
  readonly commit: (batch: Commit<never>) => Promise<void>
  /** Resolves when the read model answers: while it is away, no message is taken out of its queue. */
  readonly ping: () => Promise<void>
  /** Which notifications of these messages are finished: they are not parked. */
  readonly recall: (messageIds: readonly string[]) => Promise<ReadonlyMap<string, ReadonlySet<string>>>
  /** How long (ms) to go on. */
  readonly limitMs: number
  readonly log?: Log
  readonly now?: () => number
}

/** Queues that are drained at once, and what one request takes. */
const AT_ONCE = 4
const BATCH = 10
/** Longer than a commit takes. What cannot be parked now is back after it. */
const HIDDEN_SECONDS = 60

/**
 * Parks what SQS itself has moved to the dead-letter queues: messages of which the read model could not be written for hours, or at which a function
 * ended each time. A message is deleted once it is parked. Resolves with how many were; what cannot be read or parked stays, and is logged.
 */
export async function drain(options: DrainOptions): Promise<number> {
  const { prefix, routes, ping, log = logToConsole } = options
  const fail = (queue: string, error: string) =>
    log({
      level: 'error',
      code: 'functions.drain.failed',
      message: 'dead letters could not be parked; they stay in their queue until the next attempt',
      queue,
      error,
    })
  try {
    await ping()
  } catch (error) {
    fail('all', describeError(error))
    return 0
  }
  const left = [...routes.all]
  let drained = 0
  const work = async () => {
    for (let route = left.shift(); route !== undefined; route = left.shift()) {
      try {
        drained += await drainQueue(route, options)
      } catch (error) {
        fail(
          deadLetterQueueName(prefix, route),
          error instanceof StoreError ? describeError(error) : describeSqsError(error),
        )
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return drained
}

async function drainQueue(
  route: Route,
  { prefix, commit, recall, limitMs, now = Date.now }: DrainOptions,
): Promise<number> {
  const { sdk, client } = await sqs()
  const QueueUrl = await queueUrl(deadLetterQueueName(prefix, route))
  const untilMs = now() + limitMs
  let drained = 0
  while (now() < untilMs) {
    const { Messages = [] } = await client.send(
      new sdk.ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: BATCH,
        VisibilityTimeout: HIDDEN_SECONDS,
        // Only a request that waits asks all of SQS' servers.
        WaitTimeSeconds: 1,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['All'],
      }),
    )
    if (Messages.length === 0) break
    const done = await recall(Messages.map(({ MessageId = '' }) => MessageId))
    const batches = await Promise.all(
      Messages.map((message) => toBatch(message, prefix, route, done.get(message.MessageId ?? '') ?? new Set())),
    )
    await commit({
      effects: [],
      done: new Map(),
      parked: batches.flatMap(({ parked }) => parked),
      failed: [],
      replayed: batches.flatMap(({ replayed }) => replayed),
    })
    const Entries = Messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }))
    await client.send(new sdk.DeleteMessageBatchCommand({ QueueUrl, Entries }))
    drained += Messages.length
  }
  return drained
}

/** A former version's functions put what they parked into the dead-letter queue, with its reason. */
async function toBatch(
  message: Message,
  prefix: string,
  route: Route,
  finished: ReadonlySet<string>,
): Promise<Commit<never>> {
  const { MessageId = '', Body = '', Attributes = {}, MessageAttributes = {} } = message
  const own = (name: string) => MessageAttributes[name]?.StringValue
  // Of a FIFO queue: the time of the move. Source: SQS developer guide, "Setting-up dead-letter queue retention".
  const movedMs = Number(Attributes['SentTimestamp'])
  const firstMs = Date.parse(own('firstReceivedAt') ?? '') || Number(Attributes['ApproximateFirstReceiveTimestamp'])
  const record: SqsRecord = {
    messageId: MessageId,
    receiptHandle: '',
    body: Body,
    attributes: {
      // SQS goes on counting in the dead-letter queue, where each look at it counts: its own number says nothing.
      ApproximateReceiveCount: own('attempts') ?? String(route.maxReceiveCount),
      ApproximateFirstReceiveTimestamp: firstMs <= movedMs ? String(firstMs) : undefined,
      MessageGroupId: own('messageGroupId') ?? Attributes['MessageGroupId'],
    },
    messageAttributes: Object.fromEntries(
      Object.entries(MessageAttributes).map(([name, { StringValue }]) => [name, { stringValue: StringValue }]),
    ),
    eventSourceARN: queueName(prefix, route),
  }
  const status = own('status')
  const reason = own('reason') ?? `moved by SQS after ${route.maxReceiveCount} deliveries`
  return parkWhole(record, reason, {
    route: route.name,
    finished,
    ...(status === undefined ? {} : { status: Number(status) }),
  })
}
