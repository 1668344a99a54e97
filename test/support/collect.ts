import { DeleteMessageBatchCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import { readBody, type Notification } from '../../src/protocol/index.ts'
import type { useSqs } from './sqs.ts'

/** Receives and deletes messages until `count` different notifications of a route have arrived. Returns all copies, in the order of each group. */
export async function receiveDistinct(
  server: Awaited<ReturnType<typeof useSqs>>,
  route: string,
  count: number,
  timeoutMs = 15_000,
): Promise<Notification[]> {
  const QueueUrl = server.url(route)
  const received: Notification[] = []
  const ids = new Set<string>()
  const until = performance.now() + timeoutMs
  while (ids.size < count) {
    if (performance.now() > until) throw new Error(`of ${count} notifications for ${route} came ${ids.size}`)
    const { Messages = [] } = await server.sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        WaitTimeSeconds: 1,
        MessageAttributeNames: ['All'],
      }),
    )
    if (Messages.length === 0) continue
    for (const message of Messages)
      received.push(
        ...(await readBody(message.Body ?? '', message.MessageAttributes?.['content-encoding']?.StringValue)),
      )
    for (const { id } of received.slice(-2_000)) ids.add(id)
    await server.sqs.send(
      new DeleteMessageBatchCommand({
        QueueUrl,
        Entries: Messages.map((m, i) => ({ Id: String(i), ReceiptHandle: m.ReceiptHandle })),
      }),
    )
  }
  return received
}

type Numbered = { readonly n: number; readonly id: string; readonly reference: string }

/** Returns the fields that the flow tests check: the number that the test gave to a notification, its id, and its order key. */
export function toNumbered(event: Notification): Numbered {
  const { payload } = JSON.parse(String(event.data)) as { payload: { n: number; call_ref?: number } }
  return { n: payload.n, id: event.id, reference: event.subject ?? String(payload.call_ref) }
}

/** Only the first arrival of each notification. */
export function firstArrivals(events: readonly Notification[]): Numbered[] {
  const seen = new Set<string>()
  return events.filter(({ id }) => !seen.has(id) && seen.add(id)).map(toNumbered)
}
