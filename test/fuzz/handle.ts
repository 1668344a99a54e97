import type { SqsEvent } from '../../src/adapter/index.ts'
import type { Store } from '../../src/store/index.ts'
import { loadHandlers } from '../support/handlers.ts'
import type { AcceptedEntry } from '../support/sqs-faults.ts'

/** The results of the functions for the notifications of a batch. */
export type Handled = {
  /** Notification id → the body of the request to its function's app. */
  readonly bodies: ReadonlyMap<string, Buffer>
  /** The ids that a function answered with 2xx, and the ids that it parked. */
  readonly done: ReadonlySet<string>
  readonly parked: ReadonlySet<string>
  /** Results that must not occur: a function that throws, a 5xx answer, a batch to retry. */
  readonly problems: readonly string[]
}

/** The maximum number of messages that SQS delivers at once. */
const BATCH = 10

/** Invokes the functions of `functions/`, which write to the read model, with the messages that SQS accepted. */
export async function createHandling(store: Store) {
  let [bodies, done, parked, problems] = [
    new Map<string, Buffer>(),
    new Set<string>(),
    new Set<string>(),
    [] as string[],
  ]
  const handlers = await loadHandlers({
    store,
    park: async ({ notification, reason }) => {
      if (notification === undefined) problems.push(`a message could not be read: ${reason}`)
      else parked.add(notification.id)
    },
    postpone: async () => undefined,
    around: async (request, run) => {
      const id = decodeURIComponent(request.headers.get('ce-id') ?? '')
      bodies.set(id, Buffer.from(await request.clone().arrayBuffer()))
      const response = await run()
      if (response.ok) done.add(id)
      if (response.status >= 500) problems.push(`${id}: the function answered ${response.status}`)
      return response
    },
  })

  return async (messages: readonly AcceptedEntry[]): Promise<Handled> => {
    ;[bodies, done, parked, problems] = [new Map(), new Set(), new Set(), []]
    for (const [queue, handler] of handlers) {
      const own = messages.filter((message) => message.queue === queue)
      for (let at = 0; at < own.length; at += BATCH) {
        try {
          const { batchItemFailures } = await handler(toEvent(own.slice(at, at + BATCH), at))
          if (batchItemFailures.length > 0)
            problems.push(`${queue}: ${batchItemFailures.length} messages are to be tried again`)
        } catch (error) {
          problems.push(`${queue}: the function has thrown: ${String(error)}`)
        }
      }
    }
    return { bodies, done, parked, problems }
  }
}

function toEvent(messages: readonly AcceptedEntry[], first: number): SqsEvent {
  return {
    Records: messages.map((message, index) => ({
      messageId: `${message.MessageDeduplicationId}/${first + index}`,
      receiptHandle: 'receipt',
      body: message.MessageBody,
      attributes: { ApproximateReceiveCount: '1', MessageGroupId: message.MessageGroupId },
      messageAttributes: Object.fromEntries(
        Object.entries(message.MessageAttributes ?? {}).map(([name, { StringValue }]) => [
          name,
          { stringValue: StringValue, dataType: 'String' },
        ]),
      ),
      eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:${message.queue}`,
    })),
  }
}
