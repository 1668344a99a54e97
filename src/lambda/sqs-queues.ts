import type { SQSClient } from '@aws-sdk/client-sqs'
import type { QueuedMessage } from '../api/index.ts'
import {
  COMMAND_QUEUE,
  CONTENT_ENCODING,
  deadLetterQueueName,
  firstError,
  formatCommand,
  formatEvent,
  formatPacket,
  isMissingQueue,
  maskText,
  PARKED,
  queueName,
  RELAY_ROUTES,
  REPLAY,
  type RelayCommand,
  type Routes,
} from '../protocol/index.ts'
import { FunctionsError } from '../settings/index.ts'
import type { QueueRecord } from '../store/index.ts'
import { readOwnRoutes } from './declarations.ts'

/** The AWS SDK for SQS, and a client. */
export type Sqs = { readonly sdk: typeof import('@aws-sdk/client-sqs'); readonly client: SQSClient }

let loadedSqs: Promise<Sqs> | undefined

/** Loads the SDK when it is first needed, which is rare (retries, replays, queue depths), so that a cold start does not wait for it. */
export function sqs(): Promise<Sqs> {
  loadedSqs ??= import('@aws-sdk/client-sqs').then((sdk) => ({
    sdk,
    client: new sdk.SQSClient({ useQueueUrlAsEndpoint: false }),
  }))
  return loadedSqs
}

const urls = new Map<string, string>()

/** Returns the URL of a queue. @throws the SDK's error, FunctionsError `functions.queues.no_url` */
export async function queueUrl(name: string): Promise<string> {
  const known = urls.get(name)
  if (known !== undefined) return known
  const { sdk, client } = await sqs()
  const { QueueUrl: url } = await client.send(new sdk.GetQueueUrlCommand({ QueueName: name }))
  if (url === undefined)
    throw new FunctionsError('functions.queues.no_url', `SQS returned no URL for the queue ${name}`)
  urls.set(name, url)
  return url
}

const toAttribute = (StringValue: string) => ({ DataType: 'String', StringValue })

/** The maximum size of a request: older queues accept 256 KiB. */
const MAX_REQUEST_BYTES = 240 * 1024
const MAX_REQUEST_MESSAGES = 10

/**
 * Sends parked messages to their queues: each message group in order, different groups in parallel. Returns the messages that SQS will never accept:
 * id of the entry → reason. Tries all queues before it throws. @throws the SDK's error, FunctionsError `functions.replay.refused`
 */
export async function sendParked(job: string, messages: readonly QueuedMessage[]): Promise<Map<string, string>> {
  const refused = new Map<string, string>()
  const faults: unknown[] = []
  for (const [queue, own] of Map.groupBy(messages, (message) => message.queue)) {
    // One message of a group at a time: SQS may reject a message and accept later ones of the same request.
    for (const turn of toTurns(own)) {
      const sent = await Promise.allSettled([...toRequests(turn)].map((some) => sendBatch(queue, job, some, refused)))
      const failed = sent.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
      faults.push(...failed)
      if (failed.length > 0) break
    }
  }
  if (faults.length > 0) throw faults[0]
  return refused
}

/** Splits messages into turns: the first message of each group, then the second of each, and so on. */
function toTurns(messages: readonly QueuedMessage[]): QueuedMessage[][] {
  const groups = [...Map.groupBy(messages, (message) => message.messageGroupId).values()]
  const longest = Math.max(0, ...groups.map(({ length }) => length))
  return Array.from({ length: longest }, (_, at) => groups.flatMap((own) => own[at] ?? []))
}

function* toRequests(messages: readonly QueuedMessage[]): Generator<QueuedMessage[]> {
  let request: QueuedMessage[] = []
  let bytes = 0
  for (const message of messages) {
    const isFull = request.length === MAX_REQUEST_MESSAGES || bytes + sizeOf(message) > MAX_REQUEST_BYTES
    if (request.length > 0 && isFull) {
      yield request
      request = []
      bytes = 0
    }
    request.push(message)
    bytes += sizeOf(message)
  }
  if (request.length > 0) yield request
}

/** Returns an upper limit of the size of a message with its attributes (bytes). A UTF-16 unit has at most three bytes in UTF-8. */
const sizeOf = ({ body, contentEncoding }: QueuedMessage): number =>
  body.length * (contentEncoding === undefined ? 3 : 1) + 500

async function sendBatch(
  queue: string,
  job: string,
  messages: readonly QueuedMessage[],
  refused: Map<string, string>,
): Promise<void> {
  const { sdk, client } = await sqs()
  const Entries = messages.map(({ id, body, contentEncoding, messageGroupId }, index) => ({
    Id: String(index),
    MessageBody: body,
    MessageGroupId: messageGroupId,
    // SQS discards duplicates for five minutes. The id differs for each replay, and is the same when a step is repeated.
    MessageDeduplicationId: `${job}-${id}`,
    MessageAttributes: {
      [REPLAY]: toAttribute(job),
      [PARKED]: toAttribute(id),
      ...(contentEncoding === undefined ? {} : { [CONTENT_ENCODING]: toAttribute(contentEncoding) }),
    },
  }))
  try {
    const { Failed = [] } = await client.send(
      new sdk.SendMessageBatchCommand({ QueueUrl: await queueUrl(queue), Entries }),
    )
    for (const { Id, Code, SenderFault } of Failed) {
      const message = messages[Number(Id)]
      // For example, a size or characters that the queue does not accept.
      if (SenderFault === true && message !== undefined) refused.set(message.id, `SQS rejected it: ${Code}`)
    }
    const faults = Failed.filter(({ SenderFault }) => SenderFault !== true)
    if (faults.length > 0)
      throw new FunctionsError(
        'functions.replay.refused',
        `SQS rejected ${faults.length} of ${messages.length} messages of a replay: ${faults[0]?.Code}`,
      )
  } catch (error) {
    const name = error instanceof Error ? error.name : ''
    const reason = isMissingQueue(error)
      ? `the queue ${queue} no longer exists`
      : messages.length === 1 && /TooLong|InvalidMessageContents|InvalidParameterValue/.test(name)
        ? `SQS rejected it: ${name}`
        : undefined
    if (reason === undefined) throw error
    for (const { id } of messages) refused.set(id, reason)
  }
}

/** Takes the place of a replay's id in a step, and means: drain the dead-letter queues now. */
export const DRAIN = 'drain'

/**
 * Requests the next step of a replay. The steps of a replay run one after another.
 *
 * @param steps the number of steps so far: the step does nothing if the replay has made another one meanwhile. Absent: it always runs
 * @throws the SDK's error
 */
export async function sendReplayStep(prefix: string, job: string, steps?: number): Promise<void> {
  const { sdk, client } = await sqs()
  const id = crypto.randomUUID()
  const { type, subType } = RELAY_ROUTES.replay
  await client.send(
    new sdk.SendMessageCommand({
      QueueUrl: await queueUrl(queueName(prefix, RELAY_ROUTES.replay)),
      MessageBody: formatEvent({
        id: `replay/${job}/${id}`,
        source: '/enigma/replay',
        type: `enigma.${type}.${subType}`,
        subject: job,
        time: new Date().toISOString(),
        datacontenttype: 'application/json',
        data: formatPacket({ type: subType, payload: { job, ...(steps === undefined ? {} : { steps }) } }),
        transport: 'list',
        channel: '',
        sequence: '',
      }),
      MessageGroupId: job,
      MessageDeduplicationId: id,
    }),
  )
}

/** Sends a command to the relays, in the message group of its source. @throws the SDK's error */
export async function sendCommand(prefix: string, command: RelayCommand): Promise<void> {
  const { sdk, client } = await sqs()
  const id = crypto.randomUUID()
  await client.send(
    new sdk.SendMessageCommand({
      QueueUrl: await queueUrl(queueName(prefix, COMMAND_QUEUE)),
      MessageBody: formatCommand(command, { id, timeMs: Date.now() }),
      MessageGroupId: command.source,
      MessageDeduplicationId: id,
    }),
  )
}

let routes: Promise<Routes> | undefined

/** Returns the route table of the stack, read once. @throws FunctionsError `functions.routes.invalid` */
export const stackRoutes = (): Promise<Routes> => (routes ??= readOwnRoutes())

/** Returns the number of messages in each queue and dead-letter queue of a stack: routes in their order, commands last. @throws the SDK's error, FunctionsError */
export async function readQueues(prefix: string): Promise<QueueRecord[]> {
  const { all } = await stackRoutes()
  const queues = all.flatMap((route) => [
    { queue: queueName(prefix, route), route: route.name, dead_letter: false },
    { queue: deadLetterQueueName(prefix, route), route: route.name, dead_letter: true },
  ])
  const commands = { queue: queueName(prefix, COMMAND_QUEUE), route: COMMAND_QUEUE.name, dead_letter: false }
  return Promise.all([...queues, commands].map(async (one) => ({ ...one, ...(await readDepth(one.queue)) })))
}

/** Reads the approximate depth of a queue, or nulls if it does not exist. Source: GetQueueAttributes in the SQS API reference. */
async function readDepth(queue: string): Promise<Pick<QueueRecord, 'waiting' | 'in_flight'>> {
  const { sdk, client } = await sqs()
  try {
    const { Attributes: read = {} } = await client.send(
      new sdk.GetQueueAttributesCommand({
        QueueUrl: await queueUrl(queue),
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      }),
    )
    return {
      waiting: Number(read['ApproximateNumberOfMessages'] ?? 0),
      in_flight: Number(read['ApproximateNumberOfMessagesNotVisible'] ?? 0),
    }
  } catch (error) {
    if (isMissingQueue(error)) return { waiting: null, in_flight: null }
    throw error
  }
}

/** Describes an error of the SDK and its fix. The text contains no account number and no secret. */
export function describeSqsError(thrown: unknown): string {
  const error = firstError(thrown)
  if (!(error instanceof Error)) return 'an error without a message'
  const { name, message } = error
  if (isMissingQueue(error))
    return 'the queue does not exist; check ENIGMA_QUEUE_PREFIX, or create it with `enigma-relay queues --create`'
  if (/AccessDenied|NotAuthorized/i.test(name))
    return 'access is denied; allow sqs:GetQueueUrl, sqs:ReceiveMessage and sqs:DeleteMessage'
  if (/Credentials|Token|Signature|AccessKey/i.test(name)) return `AWS rejected the credentials (${name})`
  if (/Timeout|Abort/i.test(name)) return 'SQS did not answer in time'
  const code = 'code' in error ? ` ${String(error.code)}` : ''
  return `SQS cannot be reached or answered with an error (${name}${code}${message === '' ? '' : `: ${maskText(message)}`})`
}
