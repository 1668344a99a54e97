import { CreateQueueCommand, GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import {
  COMMAND_QUEUE,
  QUEUE_LIMITS,
  deadLetterQueueName,
  queueName,
  visibilitySeconds,
  type Route,
  type Routes,
} from '../../../protocol/index.ts'

/** The queue of commands to the relays, which has no function and no dead-letter queue. */
export const commandQueueName = (prefix: string): string => queueName(prefix, COMMAND_QUEUE)

/** The attributes of a route's queue, but for the link to its dead-letter queue. Source: CreateQueue in the SQS API reference. */
const QUEUE_ATTRIBUTES: Readonly<Record<string, string>> = {
  FifoQueue: 'true',
  DeduplicationScope: 'messageGroup',
  FifoThroughputLimit: 'perMessageGroupId',
  MessageRetentionPeriod: String(QUEUE_LIMITS.retentionSeconds),
  MaximumMessageSize: String(QUEUE_LIMITS.messageBytes),
}

/** What `createQueues` makes, without making it: each route's queue and dead-letter queue by name. */
export function listQueues(prefix: string, routes: Routes): { route: Route; queue: string; deadLetterQueue: string }[] {
  return routes.all.map((route) => ({
    route,
    queue: queueName(prefix, route),
    deadLetterQueue: deadLetterQueueName(prefix, route),
  }))
}

/**
 * Makes every queue that is not there yet: FIFO, high throughput, a dead-letter queue for each of a route. A queue that exists with the same
 * attributes is left alone. @throws the SDK's error, for instance when a queue exists with other attributes.
 */
export async function createQueues(
  sqs: SQSClient,
  prefix: string,
  routes: Routes,
): Promise<{ route: Route; url: string }[]> {
  const { retentionSeconds, visibilitySeconds: hidden } = COMMAND_QUEUE
  const ofCommands = {
    ...QUEUE_ATTRIBUTES,
    MessageRetentionPeriod: String(retentionSeconds),
    VisibilityTimeout: String(hidden),
  }
  await sqs.send(new CreateQueueCommand({ QueueName: commandQueueName(prefix), Attributes: ofCommands }))
  return Promise.all(
    listQueues(prefix, routes).map(async ({ route, queue, deadLetterQueue }) => {
      const dead = await sqs.send(new CreateQueueCommand({ QueueName: deadLetterQueue, Attributes: QUEUE_ATTRIBUTES }))
      const { Attributes } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: dead.QueueUrl, AttributeNames: ['QueueArn'] }),
      )
      const attributes = {
        ...QUEUE_ATTRIBUTES,
        VisibilityTimeout: String(visibilitySeconds(route)),
        RedrivePolicy: JSON.stringify({
          deadLetterTargetArn: Attributes?.['QueueArn'],
          maxReceiveCount: route.maxReceiveCount,
        }),
      }
      const made = await sqs.send(new CreateQueueCommand({ QueueName: queue, Attributes: attributes }))
      return { route, url: made.QueueUrl as string }
    }),
  )
}
