import { readBody, type Notification } from '../../src/protocol/index.ts'
import type { AcceptedEntry, useSqsFaults } from './sqs-faults.ts'

/** Caches the notifications of each message, because tests that wait read all messages repeatedly. */
const readBodies = new WeakMap<AcceptedEntry, Promise<readonly Notification[]>>()

function read(entry: AcceptedEntry): Promise<readonly Notification[]> {
  let events = readBodies.get(entry)
  if (events === undefined) {
    events = readBody(entry.MessageBody, entry.MessageAttributes?.['content-encoding']?.StringValue)
    readBodies.set(entry, events)
  }
  return events
}

/** Returns the notifications that the test's SQS has accepted on a queue, in the order of each group. */
export async function readAccepted(
  { accepted }: Awaited<ReturnType<typeof useSqsFaults>>,
  queue: string,
): Promise<Notification[]> {
  const entries = accepted.filter((entry) => entry.queue === queue)
  return (await Promise.all(entries.map(read))).flat()
}

/** The `n` of a notification's payload. */
export const numberOf = (event: Notification): number =>
  (JSON.parse(String(event.data)) as { payload: { n: number } }).payload.n
