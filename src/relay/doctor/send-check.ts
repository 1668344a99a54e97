import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { queueName, type Route } from '../../protocol/index.ts'
import type { RelayConfig } from '../config.ts'
import { judgeRequest } from '../targets/sqs/verdict.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import type { QueueView } from './queue-check.ts'
import { isAccessDenied, sqsFix, sqsWords } from './sqs-words.ts'

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
): Promise<Finding | undefined> {
  const name = queueName(config.queuePrefix, route)
  // Said already; and to a queue that is not FIFO it would be sent.
  if ('error' in queue || queue.attributes['FifoQueue'] === 'false') return undefined
  const check = `sqs/send/${route.name}`
  try {
    const { Failed = [], Successful = [] } = await sqs.send(
      new SendMessageBatchCommand({ QueueUrl: queue.url, Entries: [REFUSED] }),
    )
    if (Successful.length > 0)
      return warn(
        check,
        'doctor.send.not_sqs',
        `${name} accepted a message that SQS rejects: this server is not SQS, and the queue now holds one message of the check`,
      )
    if (Failed.length === 0)
      return warn(
        check,
        'doctor.send.not_checked',
        `the right to send could not be checked: the response of ${name} does not mention the message`,
      )
    const key = queue.attributes['KmsMasterKeyId'] ?? ''
    if (key !== '')
      return warn(
        check,
        'doctor.send.key_not_checked',
        `the relay may send to ${name}; whether it may use the encryption key could not be checked`,
        'allow kms:GenerateDataKey and kms:Decrypt on that key',
      )
    return ok(check, `the relay may send to ${name}`)
  } catch (error) {
    if (isAccessDenied(error))
      return fail(check, 'doctor.send.denied', `the relay may not send to ${name}`, sqsFix(error, name))
    if (judgeRequest(error) === 'refused' || (error instanceof Error && error.name === 'MissingParameter'))
      return ok(check, `the relay may send to ${name}`)
    return warn(
      check,
      'doctor.send.not_checked',
      `whether the relay may send to ${name} could not be checked: ${sqsWords(error)}`,
    )
  }
}
