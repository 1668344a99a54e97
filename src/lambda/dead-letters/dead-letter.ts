import { maskText, readBody, toBytes, toSourceId, type Notification, type Route } from '../../protocol/index.ts'
import type { ParkedItem } from '../../api/index.ts'

/** A message of a dead-letter queue as SQS gives it, as far as it is read here. */
export type DeadMessage = {
  readonly MessageId?: string | undefined
  readonly Body?: string | undefined
  readonly Attributes?: { readonly [name: string]: string | undefined } | undefined
  readonly MessageAttributes?: { readonly [name: string]: { readonly StringValue?: string | undefined } } | undefined
}

/**
 * What a message of a dead-letter queue says of itself. What `park` of wiring.ts put there carries a reason and more; what
 * SQS moved there itself carries nothing, and tells by what SQS knows of it.
 */
export async function toParkedItem(message: DeadMessage, route: Route): Promise<ParkedItem> {
  const { MessageId = '', Body = '', Attributes: system = {} } = message
  const own = (name: string) => message.MessageAttributes?.[name]?.StringValue ?? null
  const notifications = await readBody(Body, own('content-encoding') ?? undefined).catch((): Notification[] => [])
  const [first] = notifications
  const id = own('id')
  const ids = notifications.map((notification) => notification.id)
  const reason = own('reason')
  // FIFO: the time of the move. Source: SQS developer guide, "Setting-up dead-letter queue retention".
  const sentMs = Number(system['SentTimestamp'])
  return {
    from: 'functions',
    notification_ids: ids.length === 0 && id !== null ? [id] : ids,
    source: first === undefined ? null : toSourceId(first.source),
    route: route.name,
    type: first?.type ?? null,
    subject: notifications.length === 1 ? (first?.subject ?? null) : null,
    // SQS goes on counting in the dead-letter queue, where each look at it counts: its own number says nothing.
    reason: reason === null ? `moved by SQS after ${route.maxReceiveCount} deliveries` : maskText(reason),
    detail: null,
    status: toCount(own('status')),
    handler: own('handler'),
    attempts: reason === null ? route.maxReceiveCount : toCount(own('attempts')),
    received_at: toTime(Math.min(...notifications.map((notification) => Date.parse(notification.time)))),
    first_attempt_at:
      reason === null ? firstDelivery(system, sentMs) : toTime(Date.parse(own('firstReceivedAt') ?? '')),
    parked_at: toTime(Date.parse(own('parkedAt') ?? '')) ?? toTime(sentMs) ?? new Date(0).toISOString(),
    bytes: toBytes(Body).length,
    message_id: MessageId,
  }
}

/** When SQS first handed out what it moved; null when it counts from the first look at the dead-letter queue. */
function firstDelivery(system: NonNullable<DeadMessage['Attributes']>, sentMs: number): string | null {
  const firstMs = Number(system['ApproximateFirstReceiveTimestamp'])
  return firstMs <= sentMs ? toTime(firstMs) : null
}

const toTime = (ms: number): string | null => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : null)

function toCount(text: string | null): number | null {
  const count = Number(text ?? '')
  return text !== null && Number.isInteger(count) && count >= 0 ? count : null
}
