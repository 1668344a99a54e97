import type { SQSClient } from '@aws-sdk/client-sqs'
import {
  formatEvent,
  formatPacket,
  PARKED,
  queueName,
  RELAY_ROUTES,
  REPLAY,
  CONTENT_ENCODING,
} from '../protocol/index.ts'
import type { ParkedMessage } from '../store/index.ts'
import { FunctionsError } from './errors.ts'

/** The SDK and a client of it. */
export type Sqs = { readonly sdk: typeof import('@aws-sdk/client-sqs'); readonly client: SQSClient }

let madeSqs: Promise<Sqs> | undefined

/** The SDK is loaded when something goes wrong, which is seldom, or is looked for: a cold start does not wait for it. */
export function sqs(): Promise<Sqs> {
  madeSqs ??= import('@aws-sdk/client-sqs').then((sdk) => ({
    sdk,
    client: new sdk.SQSClient({ useQueueUrlAsEndpoint: false }),
  }))
  return madeSqs
}

const urls = new Map<string, string>()

/** @throws the SDK's error, FunctionsError `functions.queues.no_url` */
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

const text = (StringValue: string) => ({ DataType: 'String', StringValue })

/** Bytes of one request at most: a queue may take no more than 256 KiB. */
const REQUEST_BYTES = 240 * 1024
const REQUEST_MESSAGES = 10

/** Sends parked messages to their queues. @throws the SDK's error, FunctionsError `functions.replay.refused` */
export async function sendParked(job: string, messages: readonly ParkedMessage[]): Promise<void> {
  for (const [queue, own] of Map.groupBy(messages, (message) => message.queue)) {
    const QueueUrl = await queueUrl(queue)
    for (const some of toRequests(own)) await sendBatch(QueueUrl, job, some)
  }
}

function* toRequests(messages: readonly ParkedMessage[]): Generator<ParkedMessage[]> {
  let request: ParkedMessage[] = []
  let bytes = 0
  for (const message of messages) {
    // Its characters may have three bytes each.
    const size = message.body.length * (message.contentEncoding === undefined ? 3 : 1) + 500
    if (request.length > 0 && (request.length === REQUEST_MESSAGES || bytes + size > REQUEST_BYTES)) {
      yield request
      request = []
      bytes = 0
    }
    request.push(message)
    bytes += size
  }
  if (request.length > 0) yield request
}

async function sendBatch(QueueUrl: string, job: string, messages: readonly ParkedMessage[]): Promise<void> {
  const { sdk, client } = await sqs()
  const Entries = messages.map(({ id, body, contentEncoding, messageGroupId }, index) => ({
    Id: String(index),
    MessageBody: body,
    MessageGroupId: messageGroupId,
    // New for each replay: SQS throws away what it takes for a copy for five minutes. The same when a step is repeated.
    MessageDeduplicationId: `${job}-${id}`,
    MessageAttributes: {
      [REPLAY]: text(job),
      [PARKED]: text(id),
      ...(contentEncoding === undefined ? {} : { [CONTENT_ENCODING]: text(contentEncoding) }),
    },
  }))
  const { Failed = [] } = await client.send(new sdk.SendMessageBatchCommand({ QueueUrl, Entries }))
  const [first] = Failed
  if (first !== undefined)
    throw new FunctionsError(
      'functions.replay.refused',
      `SQS refused ${Failed.length} of ${messages.length} messages of a replay: ${first.Code}`,
    )
}

/** Asks for the next step of a replay. Steps of one replay run one after another. @throws the SDK's error */
export async function sendReplayStep(prefix: string, job: string): Promise<void> {
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
        data: formatPacket({ type: subType, payload: { job } }),
        transport: 'list',
        channel: '',
        sequence: '',
      }),
      MessageGroupId: job,
      MessageDeduplicationId: id,
    }),
  )
}
