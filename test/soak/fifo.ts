import type { Handler } from '../support/handlers.ts'
import type { AcceptedEntry } from '../support/sqs-faults.ts'

export type FifoOptions = {
  readonly queue: string
  readonly handler: Handler
  /** The maximum number of deliveries, from the route table. After these, SQS moves the message to the dead-letter queue. */
  readonly maxReceiveCount: number
  /** The time limit (ms) of the function. */
  readonly timeoutMs: number
  /** Called with each message that is not finished after `maxReceiveCount` deliveries. */
  readonly onDead: (entry: AcceptedEntry) => void
}

type Message = { readonly id: string; readonly entry: AcceptedEntry; attempts: number }

const BATCH = 10
const INVOCATIONS = 4

/** Back-off is shorter than on AWS, so that a soak reaches all attempts. */
const DELAY_SCALE_MS = 150
const DELAY_MAX_MS = 4_000

/**
 * Creates a FIFO queue that invokes a function, as SQS and Lambda do. It delivers the messages of a group in order, in batches of up to ten.
 * A message waits while an earlier one of its group is in flight or waits for a redelivery. A message that does not fail is deleted.
 */
export function createFifo({ queue, handler, maxReceiveCount, timeoutMs, onDead }: FifoOptions) {
  const groups = new Map<string, Message[]>()
  const ready = new Set<string>()
  const delays = new Map<string, number>()
  const state = { pending: 0, invocations: 0, retried: 0 }
  let running = 0
  let next = 0

  const pump = () => {
    while (running < INVOCATIONS && ready.size > 0) {
      const batch: Message[] = []
      const taken: string[] = []
      for (const group of ready) {
        const waiting = groups.get(group) as Message[]
        taken.push(group)
        batch.push(...waiting.slice(0, BATCH - batch.length))
        if (batch.length >= BATCH) break
      }
      for (const group of taken) ready.delete(group)
      running++
      void invoke(batch, taken).finally(() => {
        running--
        pump()
      })
    }
  }

  const invoke = async (batch: readonly Message[], taken: readonly string[]) => {
    state.invocations++
    for (const message of batch) message.attempts++
    const endMs = performance.now() + timeoutMs
    let failed: ReadonlySet<string>
    try {
      const { batchItemFailures } = await handler(
        { Records: batch.map((message) => toRecord(message, queue)) },
        { getRemainingTimeInMillis: () => Math.max(0, endMs - performance.now()) },
      )
      failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier))
    } catch {
      failed = new Set(batch.map(({ id }) => id))
    }
    state.retried += failed.size
    for (const group of taken)
      settle(
        group,
        batch.filter(({ entry }) => entry.MessageGroupId === group),
        failed,
      )
  }

  const settle = (group: string, messages: readonly Message[], failed: ReadonlySet<string>) => {
    const waiting = groups.get(group) as Message[]
    const dead = messages.filter(({ id, attempts }) => failed.has(id) && attempts >= maxReceiveCount)
    for (const { entry } of dead) onDead(entry)
    const gone = new Set(messages.filter((message) => !failed.has(message.id) || dead.includes(message)))
    const left = waiting.filter((message) => !gone.has(message))
    state.pending -= gone.size
    if (left.length === 0) return void groups.delete(group)
    groups.set(group, left)
    const delayMs = messages.reduce((most, { id }) => Math.max(most, delays.get(id) ?? 0), 0)
    for (const { id } of messages) delays.delete(id)
    const again = () => {
      ready.add(group)
      pump()
    }
    if (delayMs === 0) again()
    else setTimeout(again, delayMs)
  }

  return {
    state,
    push(entry: AcceptedEntry): void {
      state.pending++
      const message = { id: `${queue}/${next++}`, entry, attempts: 0 }
      const waiting = groups.get(entry.MessageGroupId)
      if (waiting !== undefined) return void waiting.push(message)
      groups.set(entry.MessageGroupId, [message])
      ready.add(entry.MessageGroupId)
      setImmediate(pump)
    },
    /** Acts like ChangeMessageVisibility: the message is redelivered after this delay. */
    postpone(messageId: string, delaySeconds: number): void {
      delays.set(messageId, Math.min(delaySeconds * DELAY_SCALE_MS, DELAY_MAX_MS))
    },
  }
}

export type Fifo = ReturnType<typeof createFifo>

function toRecord({ id, entry, attempts }: Message, queue: string) {
  return {
    messageId: id,
    receiptHandle: id,
    body: entry.MessageBody,
    attributes: { ApproximateReceiveCount: String(attempts), MessageGroupId: entry.MessageGroupId },
    messageAttributes: Object.fromEntries(
      Object.entries(entry.MessageAttributes ?? {}).map(([name, { StringValue }]) => [
        name,
        { stringValue: StringValue },
      ]),
    ),
    eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:${queue}`,
  }
}
