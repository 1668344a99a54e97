import type { QueueRecord } from '../store/index.ts'
import { COMMAND_QUEUE, deadLetterQueueName, queueName } from '../protocol/index.ts'
import { readOwnRoutes } from './declarations.ts'
import { queueUrl, sqs } from './queues.ts'
import { isMissingQueue } from './sqs-errors.ts'

let routes: ReturnType<typeof readOwnRoutes> | undefined

/**
 * Returns how many messages each queue of a stack holds, and each dead-letter queue: the routes in their order, the commands last.
 * @throws the SDK's error, FunctionsError
 */
export async function readQueues(prefix: string): Promise<QueueRecord[]> {
  routes ??= readOwnRoutes()
  const { all } = await routes
  const queues = all.flatMap((route) => [
    { queue: queueName(prefix, route), route: route.name, dead_letter: false },
    { queue: deadLetterQueueName(prefix, route), route: route.name, dead_letter: true },
  ])
  const commands = { queue: queueName(prefix, COMMAND_QUEUE), route: COMMAND_QUEUE.name, dead_letter: false }
  return Promise.all([...queues, commands].map(async (one) => ({ ...one, ...(await readDepth(one.queue)) })))
}

/** SQS approximates. Source: GetQueueAttributes in the Amazon SQS API reference. */
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
