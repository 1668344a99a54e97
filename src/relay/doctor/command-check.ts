import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import type { RelayConfig } from '../config.ts'
import { commandQueueName } from '../targets/sqs/create-queues.ts'
import { isAccessDenied, isMissingQueue, statusOf } from '../targets/sqs/verdict.ts'
import { ok, sqsWords, warn, type Diagnosis } from './check.ts'
import { lookAtQueue } from './queue-check.ts'

/** No message has it. */
const ReceiptHandle = 'doctor'

/** What a relay does with the queue of commands, in forms that change nothing: SQS looks at rights before it looks at values. */
const tries = (sqs: SQSClient, QueueUrl: string): Readonly<Record<string, () => Promise<unknown>>> => ({
  'sqs:ReceiveMessage': () => sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 11 })),
  'sqs:DeleteMessage': () => sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle })),
  'sqs:ChangeMessageVisibility': () =>
    sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 })),
})

/** Whether the relay can take commands of operators. It does all of its other work without. */
export async function checkCommands(sqs: SQSClient, config: RelayConfig): Promise<Diagnosis | []> {
  if (!config.commands) return []
  const name = commandQueueName(config.queuePrefix)
  const without = 'operators cannot retry or delete parked notifications of this relay through the API'
  const queue = await lookAtQueue(sqs, name)
  if ('error' in queue) {
    if (isMissingQueue(queue.error)) {
      const fix = 'deploy the stack, run enigma-relay queues --create, or set ENIGMA_COMMANDS=none'
      return warn('doctor.commands.missing', `the queue ${name} does not exist, so ${without}`, fix)
    }
    const fix = `allow sqs:GetQueueUrl and sqs:GetQueueAttributes on ${name}, or set ENIGMA_COMMANDS=none`
    return warn('doctor.commands.unreadable', `the queue ${name} cannot be read: ${sqsWords(queue.error)}`, fix)
  }
  const denied: string[] = []
  for (const [action, run] of Object.entries(tries(sqs, queue.url))) {
    try {
      await run()
    } catch (error) {
      if (isAccessDenied(error)) denied.push(action)
      else if (statusOf(error) === undefined) {
        const text = `whether the relay may take commands from ${name} could not be checked: ${sqsWords(error)}`
        return warn('doctor.commands.not_checked', text)
      }
    }
  }
  if (denied.length === 0) return ok(`the relay may take commands from ${name}`)
  const fix = `allow ${denied.join(', ')} on ${name}, or set ENIGMA_COMMANDS=none`
  return warn('doctor.commands.denied', `the relay may not take commands from ${name}, so ${without}`, fix)
}
