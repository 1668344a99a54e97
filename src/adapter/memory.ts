import type { Message } from './message.ts'

/**
 * A message of which a part is finished comes again whole. What is finished is remembered under its SQS message id (which stays
 * the same through all attempts), so that the next attempt runs only what is left.
 */
export async function recallFinished(
  messages: readonly Message<unknown>[],
  recall: (messageIds: readonly string[]) => Promise<ReadonlyMap<string, ReadonlySet<string>>>,
): Promise<void> {
  const again = messages.filter((message) => message.attempt > 1 && message.fault === undefined)
  if (again.length === 0) return
  const finished = await recall(again.map((message) => message.record.messageId))
  // A copy in another message of the batch is finished as well.
  const keys = new Set([...finished.values()].flatMap((ids) => [...ids]))
  for (const entry of messages.flatMap((message) => message.entries)) {
    entry.remembered = finished.get(entry.record.messageId)?.has(entry.key) ?? false
    // A notification that a replay sends runs again, whatever its former outcome.
    entry.finished = entry.replay === undefined ? keys.has(entry.key) : entry.remembered
  }
}
