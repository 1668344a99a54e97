import type { Route } from '../../protocol/index.ts'
import type { Sqs } from '../wiring.ts'
import type { ParkedItem } from '../../api/index.ts'
import { toParkedItem } from './dead-letter.ts'

/** What is looked at in one queue at most. */
const MOST_MESSAGES = 200
const MOST_BYTES = 16 * 1024 * 1024
/** Longer than a whole look takes, so that nothing is seen twice in it; should this process die, they are back after it. */
const HIDDEN_SECONDS = 20
/** What one request takes. */
const BATCH = 10
const RELEASE_LIMIT_MS = 3_000

/** What lies in a dead-letter queue: what was seen, and how many there are, about. */
export type QueuePeek = { readonly items: readonly ParkedItem[]; readonly total: number }

export type QueuePeekOptions = {
  readonly sqs: Sqs
  readonly url: string
  readonly route: Route
  readonly signal: AbortSignal
}

/**
 * Looks at the messages of a queue and leaves them there: they are hidden from others for a moment, and then put back in their place.
 * Of a message group SQS shows ten at most. @throws the SDK's error
 */
export async function peekQueue({
  sqs: { sdk, client },
  url: QueueUrl,
  route,
  signal,
}: QueuePeekOptions): Promise<QueuePeek> {
  const names = [
    'ApproximateNumberOfMessages',
    'ApproximateNumberOfMessagesNotVisible',
    'ApproximateNumberOfMessagesDelayed',
  ] as const
  const options = { abortSignal: signal }
  const { Attributes = {} } = await client.send(
    new sdk.GetQueueAttributesCommand({ QueueUrl, AttributeNames: [...names] }),
    options,
  )
  const visible = Number(Attributes.ApproximateNumberOfMessages ?? 0)
  const total = names.reduce((sum, name) => sum + Number(Attributes[name] ?? 0), 0)
  if (visible === 0) return { items: [], total }
  const items = new Map<string, ParkedItem>()
  const receipts: string[] = []
  let bytes = 0
  try {
    while (items.size < MOST_MESSAGES && bytes < MOST_BYTES) {
      const { Messages = [] } = await client.send(
        new sdk.ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: BATCH,
          VisibilityTimeout: HIDDEN_SECONDS,
          // Only a request that waits asks all of SQS' servers.
          WaitTimeSeconds: items.size < visible ? 1 : 0,
          MessageAttributeNames: ['All'],
          MessageSystemAttributeNames: ['All'],
        }),
        options,
      )
      receipts.push(...Messages.flatMap(({ ReceiptHandle }) => ReceiptHandle ?? []))
      if (Messages.length === 0) break
      for (const message of Messages) {
        const item = await toParkedItem(message, route)
        items.set(message.MessageId ?? '', item)
        bytes += item.bytes
      }
    }
  } finally {
    await putBack({ sdk, client }, QueueUrl, receipts)
  }
  return { items: [...items.values()], total: Math.max(total, items.size) }
}

/** Makes them visible at once. What cannot be put back now comes back by itself. */
async function putBack({ sdk, client }: Sqs, QueueUrl: string, receipts: readonly string[]): Promise<void> {
  const options = { abortSignal: AbortSignal.timeout(RELEASE_LIMIT_MS) }
  const requests = []
  for (let from = 0; from < receipts.length; from += BATCH) {
    const Entries = receipts
      .slice(from, from + BATCH)
      .map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle, VisibilityTimeout: 0 }))
    requests.push(client.send(new sdk.ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }), options))
  }
  await Promise.allSettled(requests)
}
