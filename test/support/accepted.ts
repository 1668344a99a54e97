import { readBody, type Notification } from '../../src/protocol/index.ts'
import type { useSqsFaults } from './sqs-faults.ts'

/** The notifications that the test's SQS has accepted on a queue, in the order of each group. */
export async function readAccepted(
  { accepted }: Awaited<ReturnType<typeof useSqsFaults>>,
  queue: string,
): Promise<Notification[]> {
  const entries = accepted.filter((entry) => entry.queue === queue)
  const events = await Promise.all(
    entries.map((entry) => readBody(entry.MessageBody, entry.MessageAttributes?.['content-encoding']?.StringValue)),
  )
  return events.flat()
}

/** The `n` of a notification's payload. */
export const numberOf = (event: Notification): number =>
  (JSON.parse(String(event.data)) as { payload: { n: number } }).payload.n
