import { deadLetterQueueName, QUEUE_LIMITS, queueName, visibilitySeconds } from '../../src/protocol/index.ts'
import { logicalName } from './names.ts'
import type { StackOptions } from './options.ts'
import { arnOf, kept, type Resources } from './template.ts'

/** What a queue and its dead-letter queue have in common. */
const COMMON = {
  FifoQueue: true,
  DeduplicationScope: 'messageGroup',
  FifoThroughputLimit: 'perMessageGroupId',
  MaximumMessageSize: QUEUE_LIMITS.messageBytes,
  MessageRetentionPeriod: QUEUE_LIMITS.retentionSeconds,
  SqsManagedSseEnabled: true,
}

/**
 * The queue of each route and its dead-letter queue. Which queue a dead-letter queue takes from is said by name and not by reference,
 * since each of the two names the other.
 */
export function createQueueResources({ prefix, routes, keep }: StackOptions): Resources {
  return Object.fromEntries(
    routes.flatMap((route) => {
      const name = logicalName(route)
      const queue = queueName(prefix, route)
      return [
        [
          `${name}Queue`,
          {
            Type: 'AWS::SQS::Queue',
            ...kept(keep),
            Properties: {
              QueueName: queue,
              ...COMMON,
              VisibilityTimeout: visibilitySeconds(route),
              RedrivePolicy: {
                deadLetterTargetArn: arnOf(`${name}DeadLetterQueue`),
                maxReceiveCount: route.maxReceiveCount,
              },
            },
          },
        ],
        [
          `${name}DeadLetterQueue`,
          {
            Type: 'AWS::SQS::Queue',
            ...kept(keep),
            Properties: {
              QueueName: deadLetterQueueName(prefix, route),
              ...COMMON,
              RedriveAllowPolicy: {
                redrivePermission: 'byQueue',
                sourceQueueArns: [
                  { 'Fn::Sub': `arn:\${AWS::Partition}:sqs:\${AWS::Region}:\${AWS::AccountId}:${queue}` },
                ],
              },
            },
          },
        ],
      ]
    }),
  ) as Resources
}
