import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { queueName, type Route } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { isAccessDenied, judgeRequest } from '../targets/sqs/verdict.ts'
import { fail, ok, warn, type Diagnosis } from './check.ts'
import type { QueueView } from './queue-check.ts'
import { sqsFix, sqsWords } from './sqs-connection.ts'

/**
 * A message that no FIFO queue takes: without a group, and of a character that SQS does not allow. A batch of it alone is answered
 * entry by entry, and SQS looks at entries when it has looked at the right to send; without that the whole request is refused. Some
 * servers refuse the whole request for an entry, and say what is wrong with it.
 * Source: SendMessageBatch and SendMessage in the SQS API reference.
 */
const REFUSED = { Id: 'doctor', MessageBody: '\u0001' } as const

/** Whether the relay may send to a route's queue; nothing is sent. */
export async function checkSend(
  sqs: SQSClient,
  config: RelayConfig,
  route: Route,
  queue: QueueView,
): Promise<Diagnosis | []> {
  // Said already; and to a queue that is not FIFO it would be sent.
  if ('error' in queue || queue.attributes['FifoQueue'] === 'false') return []
  const name = queueName(config.queuePrefix, route)
  const may = `the relay may send to ${name}`
  try {
    const { Failed = [], Successful = [] } = await sqs.send(
      new SendMessageBatchCommand({ QueueUrl: queue.url, Entries: [REFUSED] }),
    )
    if (Successful.length > 0)
      return warn(
        'doctor.send.not_sqs',
        `${name} accepted a message that SQS rejects: this server is not SQS, and the queue now holds one message of the check`,
      )
    if (Failed.length === 0)
      return warn(
        'doctor.send.not_checked',
        `the right to send could not be checked: the response of ${name} does not mention the message`,
      )
    return (queue.attributes['KmsMasterKeyId'] ?? '') === ''
      ? ok(may)
      : warn(
          'doctor.send.key_not_checked',
          `${may}; whether it may use the encryption key could not be checked`,
          'allow kms:GenerateDataKey and kms:Decrypt on that key',
        )
  } catch (error) {
    if (isAccessDenied(error))
      return fail('doctor.send.denied', `the relay may not send to ${name}`, sqsFix(error, name))
    if (judgeRequest(error) === 'refused' || (error instanceof Error && error.name === 'MissingParameter'))
      return ok(may)
    return warn(
      'doctor.send.not_checked',
      `whether the relay may send to ${name} could not be checked: ${sqsWords(error)}`,
    )
  }
}
