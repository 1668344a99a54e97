import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs'
import { randomUUID } from 'node:crypto'
import { COMMAND_QUEUE, formatCommand, queueName, type RelayCommand } from '../../src/protocol/index.ts'
import type { useSqs } from './sqs.ts'

/** Opens the command queue as the API does. A command that a relay received but did not delete is visible again after `hiddenSeconds` (default 2). */
export async function useCommandQueue({ sqs }: Pick<Awaited<ReturnType<typeof useSqs>>, 'sqs'>, hiddenSeconds = 2) {
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: queueName('enigma-', COMMAND_QUEUE) }))
  const Attributes = { VisibilityTimeout: String(hiddenSeconds) }
  await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }))
  const sendBody = (MessageBody: string, MessageGroupId: string) =>
    sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId, MessageDeduplicationId: randomUUID() }))
  return {
    url: QueueUrl as string,
    sendBody,
    send: (command: Partial<RelayCommand> & Pick<RelayCommand, 'ids'>) => {
      const whole: RelayCommand = { action: 'retry', source: 'main', operator: 'jane', ...command }
      return sendBody(formatCommand(whole, { id: randomUUID(), timeMs: Date.now() }), whole.source)
    },
    /** Returns the number of commands, including hidden ones. */
    size: async (): Promise<number> => {
      const names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const
      const { Attributes: of = {} } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [...names] }),
      )
      return names.reduce((sum, name) => sum + Number(of[name]), 0)
    },
  }
}
