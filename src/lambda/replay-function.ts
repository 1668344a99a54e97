import type { Message } from '@aws-sdk/client-sqs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Commit, FromSqsOptions, LambdaContext, SqsEvent, SqsRecord } from '../adapter/index.ts'
import { describeError, fromSqs, logToConsole, parkWhole } from '../adapter/index.ts'
import { createReplayApp, findLost, listMissing, runReplay } from '../api/index.ts'
import type { Route, Routes } from '../protocol/index.ts'
import { deadLetterQueueName, DEFAULT_LIMITS, queueName, RELAY_ROUTES } from '../protocol/index.ts'
import { FunctionsError } from '../settings/index.ts'
import { StoreError } from '../store/index.ts'
import { describeSqsError, DRAIN, queueUrl, sendParked, sendReplayStep, sqs, stackRoutes } from './sqs-queues.ts'
import {
  commitBatch,
  countDrained,
  countMissing,
  countParked,
  missingWait,
  queuePrefix,
  store,
  wire,
} from './wiring.ts'

/** The time limit of a step (ms). Shorter than the time limit of the function, so that the last request of the step can finish. */
const STEP_MS = 15_000

/** An alarm is raised this long (ms) before parked notifications are removed. */
const EXPIRING_MS = 3 * 24 * 3_600_000

// Read at start-up, so that an invalid setting shows at once.
const missingOptions = missingWait()

/** Sends parked notifications again, step by step. */
export const app = createReplayApp(async ({ job, steps }) => {
  if (job === DRAIN) return void (await drainAll())
  const { read, commit } = store()
  const next = await runReplay(job, steps, { read, commit, send: sendParked, limitMs: STEP_MS, sleep, targetOf })
  if (next !== undefined) await sendReplayStep(queuePrefix(), job, next)
})

async function targetOf(name: string) {
  const lanes = (await stackRoutes()).all.find((route) => route.name === name)?.lanes ?? DEFAULT_LIMITS.lanes
  return { queue: queueName(queuePrefix(), { name }), lanes }
}

const runSteps = fromSqs(app, wire(RELAY_ROUTES.replay))

/**
 * Handles the steps of replays, which arrive on its queue. Every five minutes, a schedule invokes it to park the messages in dead-letter queues,
 * resume replays whose step was lost, and list calls whose CDR is missing.
 */
export async function handler(given: SqsEvent | { readonly source?: string }, context?: LambdaContext) {
  if ('Records' in given) return runSteps(given, context)
  if (await drainAll()) countMissing(await listMissing(store(), missingOptions))
  return undefined
}

/** Parks dead letters and resumes replays. Resolves with false if the read model does not answer. */
async function drainAll(): Promise<boolean> {
  const { recall, read } = store()
  const options = {
    prefix: queuePrefix(),
    routes: await stackRoutes(),
    commit: commitBatch,
    recall,
    ping: read.ping,
    limitMs: STEP_MS,
  }
  const drained = await drain(options)
  if (drained === undefined) return false
  countDrained(drained)
  countParked(await read.parkedCounts(EXPIRING_MS))
  for (const job of await findLost(read)) await sendReplayStep(queuePrefix(), job)
  return true
}

type Options = FromSqsOptions<never>

/** The options of `drain`. `commit` parks messages; `recall` returns finished notifications, which are not parked. */
export type DrainOptions = Required<Pick<Options, 'commit' | 'recall'>> &
  Pick<Options, 'log' | 'now'> & {
    /** The prefix of the names of queues: `enigma-`. */
    readonly prefix: string
    readonly routes: Routes
    /** Resolves if the read model answers. While it is unavailable, no message is received. */
    readonly ping: () => Promise<void>
    /** The time limit of the drain (ms). */
    readonly limitMs: number
  }

/** The number of queues that are drained in parallel. */
const MAX_PARALLEL = 4
/** The maximum number of messages in a ReceiveMessage request. Source: the SQS API reference. */
const MAX_MESSAGES = 10
/** The visibility timeout of received messages (s), longer than a commit takes. Messages that could not be parked are available again after it. */
const HIDDEN_SECONDS = 60

type Fail = (queue: string, error: unknown) => void

/**
 * Parks the messages that SQS moved to the dead-letter queues: the read model was unavailable for hours, or the function crashed each time. A
 * message is deleted after it has been parked. Messages that cannot be parked are logged and stay in their queue. Resolves with the number of
 * parked messages, or undefined if the read model is unavailable.
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
  // Each drain begins with a different queue, because there may be no time for the last ones.
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
  await Promise.all(Array.from({ length: MAX_PARALLEL }, work))
  return drained
}

/** The schedule starts a drain this often (ms), so each drain begins with the next queue. */
const TURN_MS = 300_000

async function receive(queue: string): Promise<readonly Message[]> {
  const { sdk, client } = await sqs()
  const { Messages = [] } = await client.send(
    new sdk.ReceiveMessageCommand({
      QueueUrl: await queueUrl(queue),
      MaxNumberOfMessages: MAX_MESSAGES,
      VisibilityTimeout: HIDDEN_SECONDS,
      // Long polling, because a short poll queries only some of the SQS servers. Source: SQS developer guide, "short and long polling".
      WaitTimeSeconds: 1,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['All'],
    }),
  )
  return Messages
}

/** Parks messages and deletes them. Messages that the read model rejects stay in the queue. @throws StoreError if none could be parked */
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
    // One message must not keep the others in the queue, so each is committed alone.
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

/** Converts a dead letter to a commit that parks it. Functions of version 0.1 sent parked messages to the dead-letter queue, with the reason as attribute. */
async function toBatch(
  message: Message,
  prefix: string,
  route: Route,
  finished: ReadonlySet<string>,
): Promise<Commit<never>> {
  const { MessageId = '', Body = '', Attributes = {}, MessageAttributes = {} } = message
  const attributeOf = (name: string) => MessageAttributes[name]?.StringValue
  // In the dead-letter queue of a FIFO queue, this is the time of the move. Source: SQS developer guide, "Setting-up dead-letter queue retention".
  const movedMs = Number(Attributes['SentTimestamp'])
  const firstMs =
    Date.parse(attributeOf('firstReceivedAt') ?? '') || Number(Attributes['ApproximateFirstReceiveTimestamp'])
  const record: SqsRecord = {
    messageId: MessageId,
    receiptHandle: '',
    body: Body,
    attributes: {
      // SQS also counts each receive from the dead-letter queue, so the count of SQS is meaningless here.
      ApproximateReceiveCount: attributeOf('attempts') ?? String(route.maxReceiveCount),
      ApproximateFirstReceiveTimestamp: firstMs <= movedMs ? String(firstMs) : undefined,
      MessageGroupId: attributeOf('messageGroupId') ?? Attributes['MessageGroupId'],
    },
    messageAttributes: Object.fromEntries(
      Object.entries(MessageAttributes).map(([name, { StringValue }]) => [name, { stringValue: StringValue }]),
    ),
    eventSourceARN: queueName(prefix, route),
  }
  const status = attributeOf('status')
  const reason = attributeOf('reason') ?? `moved by SQS after ${route.maxReceiveCount} deliveries`
  return parkWhole(record, reason, {
    route: route.name,
    maxAgeMs: route.maxAgeMs,
    finished,
    ...(status === undefined ? {} : { status: Number(status) }),
  })
}
