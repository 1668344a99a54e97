import type { Message } from '@aws-sdk/client-sqs'
import { describeError, logToConsole, parkWhole } from '../adapter/index.ts'
import type { Commit, FromSqsOptions, SqsRecord } from '../adapter/index.ts'
import { deadLetterQueueName, queueName, type Route, type Routes } from '../protocol/index.ts'
import { StoreError } from '../store/index.ts'
import { FunctionsError } from '../settings/function-error.ts'
import { describeSqsError, queueUrl, sqs } from './sqs-queues.ts'

type Options = FromSqsOptions<never>

/** `commit` parks what is in the batch; what `recall` says is finished is not parked. */
export type DrainOptions = Required<Pick<Options, 'commit' | 'recall'>> &
  Pick<Options, 'log' | 'now'> & {
    /** Of the queues' names: `enigma-`. */
    readonly prefix: string
    readonly routes: Routes
    /** Resolves when the read model answers: while it is away, no message is taken out of its queue. */
    readonly ping: () => Promise<void>
    /** How long (ms) to go on. */
    readonly limitMs: number
  }

/** Queues that are drained at once, and what one request takes. */
const AT_ONCE = 4
const BATCH = 10
/** Longer than a commit takes. Messages that cannot be parked now are back after it. */
const HIDDEN_SECONDS = 60

type Fail = (queue: string, error: unknown) => void

/**
 * Parks what SQS itself has moved to the dead-letter queues: messages of which the read model could not be written for hours, or at which a function
 * ended each time. A message is deleted once it is parked. Resolves with how many were, undefined while the
 * read model is away; what cannot be read or parked stays, and is logged.
 */
export async function drain(options: DrainOptions): Promise<number | undefined> {
  const { prefix, routes, ping, limitMs, log = logToConsole, now = Date.now } = options
  const untilMs = now() + limitMs
  const fail: Fail = (queue, error) =>
    log({
      level: 'error',
      code: 'functions.drain.failed',
      message: 'dead letters could not be parked; they stay in their queue until the next attempt',
      queue,
      error: (error instanceof StoreError || error instanceof FunctionsError ? describeError : describeSqsError)(error),
    })
  try {
    await ping()
  } catch (error) {
    fail('all', error)
    return undefined
  }
  // Each time another queue is the first, since there may be no time for the last ones.
  const first = Math.floor(now() / TURN_MS) % routes.all.length
  const left = [...routes.all.slice(first), ...routes.all.slice(0, first)]
  let drained = 0
  const work = async () => {
    for (let route = left.shift(); route !== undefined && now() < untilMs; route = left.shift()) {
      const queue = deadLetterQueueName(prefix, route)
      try {
        while (now() < untilMs) {
          const messages = await receive(queue)
          if (messages.length === 0) break
          drained += await parkMessages(route, messages, options, fail)
        }
      } catch (error) {
        fail(queue, error)
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return drained
}

const TURN_MS = 300_000

async function receive(queue: string): Promise<readonly Message[]> {
  const { sdk, client } = await sqs()
  const { Messages = [] } = await client.send(
    new sdk.ReceiveMessageCommand({
      QueueUrl: await queueUrl(queue),
      MaxNumberOfMessages: BATCH,
      VisibilityTimeout: HIDDEN_SECONDS,
      // Only a request that waits asks all of SQS' servers.
      WaitTimeSeconds: 1,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['All'],
    }),
  )
  return Messages
}

/** Parks messages and deletes them. One that the read model refuses stays alone. @throws StoreError when none could be parked */
async function parkMessages(
  route: Route,
  messages: readonly Message[],
  { prefix, commit, recall }: DrainOptions,
  fail: Fail,
): Promise<number> {
  const queue = deadLetterQueueName(prefix, route)
  const done = await recall(messages.map(({ MessageId = '' }) => MessageId))
  const batches = await Promise.all(
    messages.map((message) => toBatch(message, prefix, route, done.get(message.MessageId ?? '') ?? new Set())),
  )
  let parked = messages
  try {
    const all = { parked: batches.flatMap((one) => one.parked), replayed: batches.flatMap((one) => one.replayed) }
    await commit({ effects: [], done: new Map(), failed: [], ...all })
  } catch (fault) {
    // What one message holds must not keep the others there.
    const own: Message[] = []
    const faults: unknown[] = []
    for (const [at, message] of messages.entries())
      await commit(batches[at] as Commit<never>).then(
        () => own.push(message),
        (error: unknown) => faults.push(error),
      )
    parked = own
    if (parked.length === 0) throw fault
    for (const error of faults) fail(queue, error)
  }
  const { sdk, client } = await sqs()
  const Entries = parked.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }))
  const { Failed = [] } = await client.send(
    new sdk.DeleteMessageBatchCommand({ QueueUrl: await queueUrl(queue), Entries }),
  )
  const notDeleted = (code: string | undefined) =>
    new FunctionsError('functions.queues.not_deleted', `a message was parked and could not be deleted: ${code}`)
  for (const { Code } of Failed) fail(queue, notDeleted(Code))
  return parked.length
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
    maxAgeMs: route.maxAgeMs,
    finished,
    ...(status === undefined ? {} : { status: Number(status) }),
  })
}
