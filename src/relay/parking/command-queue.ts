import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { COMMAND_QUEUE, parseCommand, ProtocolError, queueName, type RelayCommand } from '../../protocol/index.ts'
import { sleep } from '../../runtime/index.ts'

/** A command as it was received, or what is wrong with it. */
export type Received = {
  readonly messageId: string
  /** How often it was received, by whichever relay. */
  readonly receives: number
  readonly command: RelayCommand | ProtocolError
  /** Keeps it from all others while `work` goes on. */
  readonly hold: <T>(work: () => Promise<T>) => Promise<T>
  /** Makes it visible at once, for another relay. */
  readonly giveBack: () => Promise<void>
  readonly remove: () => Promise<void>
}

/** The longest wait (s) that SQS offers: an idle relay makes three requests a minute. */
const POLL_SECONDS = 20

/** How long (ms) the answer to such a request may take. */
const POLL_LIMIT_MS = (POLL_SECONDS + 10) * 1_000

/** Finds the queue of commands. @throws the SDK's error, also when there is no queue, or no right to see it */
export async function openCommandQueue(sqs: SQSClient, prefix: string, signal: AbortSignal) {
  const QueueName = queueName(prefix, COMMAND_QUEUE)
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }), { abortSignal: signal })
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['VisibilityTimeout'] }),
    { abortSignal: signal },
  )
  const hiddenSeconds = Number(Attributes?.['VisibilityTimeout'] ?? COMMAND_QUEUE.visibilitySeconds)

  const hide = (ReceiptHandle: string | undefined, VisibilityTimeout: number) =>
    sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout }))

  return {
    /**
     * Resolves with the next command; waits for it, or only looks whether there is one. While one of a source is out, SQS hands out no other
     * one of that source. @throws the SDK's error
     */
    async receive(waits: boolean): Promise<Received | undefined> {
      const { Messages: [message] = [] } = await sqs.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: 1,
          WaitTimeSeconds: waits ? POLL_SECONDS : 0,
          MessageSystemAttributeNames: ['ApproximateReceiveCount'],
        }),
        { abortSignal: signal, requestTimeout: POLL_LIMIT_MS },
      )
      if (message === undefined) return undefined
      const { ReceiptHandle, MessageId: messageId = '', Body = '', Attributes: of } = message
      return {
        messageId,
        receives: Number(of?.ApproximateReceiveCount ?? 1),
        command: readCommand(Body),
        async hold(work) {
          const end = new AbortController()
          const renewing = (async () => {
            for (;;) {
              await sleep((hiddenSeconds * 1_000) / 3, end.signal)
              if (end.signal.aborted) return
              // If it fails, another relay may begin as well, which only costs requests.
              await hide(ReceiptHandle, hiddenSeconds).catch(() => undefined)
            }
          })()
          try {
            return await work()
          } finally {
            end.abort()
            await renewing
          }
        },
        async giveBack() {
          // If it fails, the message comes back by itself.
          await hide(ReceiptHandle, 0).catch(() => undefined)
        },
        async remove() {
          await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }))
        },
      }
    },
  }
}

export type CommandQueue = Awaited<ReturnType<typeof openCommandQueue>>

function readCommand(body: string): RelayCommand | ProtocolError {
  try {
    return parseCommand(body)
  } catch (error) {
    if (error instanceof ProtocolError) return error
    throw error
  }
}
