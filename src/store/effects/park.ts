import { formatEvent, gzipBody, GZIP, toBytes, toSourceId, type Outcomes, type Parked } from '../../protocol/index.ts'
import { plain } from '../effect.ts'
import { sha1 } from '../names.ts'
import type { ParkedRecord } from '../operator-types.ts'
import { toParts } from '../parts.ts'
import { step, toEffect, type Effect } from '../steps.ts'

/** A record as it is kept. What a message needs to be sent again is with it. */
export type StoredParked = Omit<ParkedRecord, 'id' | 'replay'> & {
  readonly queue?: string
  readonly message_group?: string | undefined
  readonly content_encoding?: string | undefined
}

/** What is parked, what failed and what replays have sent, as effects: in the order in which the script needs them. */
export async function toOutcomeEffects(batch: Outcomes, nowMs: number): Promise<Effect[]> {
  const ms = String(nowMs)
  return [
    ...batch.failed.map(({ messageId, attempt, reason, status, keys }) =>
      toEffect([
        step(
          'attempt',
          { message: messageId, attempt: String(attempt), ms, status: String(status ?? ''), reason: toShort(reason) },
          keys.map(plain),
        ),
      ]),
    ),
    ...(await Promise.all(batch.parked.map((one) => park(one, ms)))),
    ...batch.replayed.map(({ job, entry, hasFailed }) =>
      toEffect([
        step('replayed', {
          entry,
          job,
          has_failed: hasFailed ? '1' : '',
          change: JSON.stringify({ kind: 'parked', ref: entry, state: hasFailed ? 'parked' : 'handled' }),
        }),
      ]),
    ),
  ]
}

/** Longest reason (characters) of each attempt: an entry keeps fifty of them. */
const MAX_REASON = 200
const toShort = (reason: string): string => plain(reason).slice(0, MAX_REASON)

/** Digits of an entry's id: 80 bits, so that no two entries share one. */
const ID_DIGITS = 20
/** Longest name of a handler, of a foreign event's type for instance. */
const MAX_NAME = 500

/** The same notification is the same entry, however often it is parked; a message that could not be read keeps the entry it was sent from. */
async function toId({ route, key, messageId, replay }: Parked): Promise<string> {
  return replay?.entry ?? (await sha1(`${route} ${key ?? `message ${messageId}`}`)).slice(0, ID_DIGITS)
}

async function park(parked: Parked, ms: string): Promise<Effect> {
  const { route, notification, reason, status, attempts, messageId, messageGroupId, eventSourceARN } = parked
  const id = await toId(parked)
  const { body, contentEncoding, bytes } = await toBody(parked)
  const parts = toParts(body)
  const record: StoredParked = {
    from: 'functions',
    notification_ids: notification === undefined ? [] : [notification.id],
    source: notification === undefined ? null : toSourceId(notification.source),
    route,
    type: notification?.type ?? null,
    subject: notification?.subject ?? null,
    reason,
    detail: null,
    status: status ?? null,
    handler: parked.handler?.slice(0, MAX_NAME) ?? null,
    attempts,
    received_at: toTime(notification?.time),
    first_attempt_at: toTime(parked.firstReceivedAt),
    parked_at: new Date(Number(ms)).toISOString(),
    bytes,
    message_id: messageId,
    queue: eventSourceARN.slice(eventSourceARN.lastIndexOf(':') + 1),
    message_group: messageGroupId,
    content_encoding: contentEncoding,
  }
  return toEffect([
    ...parts.map((text, index) => step('part', { of: 'parked', id, index: String(index), text })),
    step('park', {
      id,
      message: messageId,
      key: plain(parked.key ?? ''),
      attempt: String(attempts),
      status: String(status ?? ''),
      reason: toShort(reason),
      ms,
      parts: String(parts.length),
      json: JSON.stringify(record),
      change: JSON.stringify({ kind: 'parked', ref: id, state: 'parked' }),
    }),
  ])
}

/** The message as SQS takes it again; one that could not be read as it came. */
async function toBody({ notification, body = '', contentEncoding }: Parked) {
  if (notification === undefined) return { body, contentEncoding, bytes: toBytes(body).length }
  const text = formatEvent(notification)
  const bytes = toBytes(text).length
  const packed = await gzipBody(text)
  return packed.length < bytes
    ? { body: packed, contentEncoding: GZIP, bytes }
    : { body: text, contentEncoding: undefined, bytes }
}

/** ISO 8601 in UTC; null for what is no time. */
function toTime(time: string | undefined): string | null {
  const ms = Date.parse(time ?? '')
  return Number.isNaN(ms) ? null : new Date(ms).toISOString()
}
