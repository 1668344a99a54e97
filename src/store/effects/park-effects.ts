import type { ParkedRecord } from '../../answers/index.ts'
import {
  ageMs,
  CALL_LIMITS,
  formatEvent,
  type Outcomes,
  packEvent,
  type Parked,
  parseEventType,
  toBytes,
  toSourceId,
} from '../../protocol/index.ts'
import { sha1, toParts } from '../document.ts'
import { type Effect, plain, toEffect } from '../effect.ts'
import { step } from '../steps.ts'

/** A filter of parked entries. */
export type ParkedQuery = {
  readonly from?: 'relay' | 'functions' | undefined
  readonly source?: string | undefined
  readonly route?: string | undefined
  /** A part of the reason. Ignores case. */
  readonly reason?: string | undefined
  /** The cause of a group. */
  readonly cause?: string | undefined
  readonly status?: number | undefined
  /** The event's `subject`. */
  readonly reference?: string | undefined
  /** The id of a notification. */
  readonly notification?: string | undefined
  /** `parked_at`, Unix ms, both inclusive. */
  readonly sinceMs?: number | undefined
  readonly untilMs?: number | undefined
}

/** The stored record of an entry, with the attributes of the message that a replay sends. */
export type StoredParked = Omit<ParkedRecord, 'id' | 'replay' | 'replays' | 'expires_at'> & {
  readonly message?: {
    /** Absent: the notification arrived by HTTP. */
    readonly queue?: string | undefined
    readonly group?: string | undefined
    readonly encoding?: string | undefined
  }
}

/**
 * Creates the effects of parked notifications, failed attempts and outcomes of replays, in the order that the script needs.
 *
 * @param placeMs the place of the first parked notification in the list: later than the places of earlier commits
 */
export async function toOutcomeEffects(
  { parked, failed, replayed }: Outcomes,
  nowMs: number,
  placeMs = nowMs,
): Promise<Effect[]> {
  const effects = failed.flatMap(({ messageId, attempt, reason, status, keys }) =>
    toPortions(keys).map((some) =>
      toEffect([
        step(
          'attempt',
          {
            message: messageId,
            attempt: String(attempt),
            ms: String(nowMs),
            status: String(status ?? ''),
            reason: toShort(reason),
          },
          some.map(plain),
        ),
      ]),
    ),
  )
  const ids = new Set<string>()
  // Sequentially, because compressing a notification takes a third of a megabyte of memory.
  for (const [at, one] of parked.entries()) {
    const id = await toId(one)
    ids.add(id)
    effects.push(await park(id, one, nowMs, toPlace(placeMs, at)))
  }
  for (const { job, entry, hasFailed, messageId } of replayed) {
    // If a message has become readable, its notifications are parked instead of the message.
    const outcome = hasFailed ? (ids.has(entry) ? 'failed' : 'moved') : 'handled'
    const why = parked.find(({ replay }) => replay?.job === job && replay.entry === entry)?.reason ?? ''
    effects.push(settleEntry({ job, entry, outcome, messageId, why }, nowMs))
  }
  return effects
}

/** The outcome of an entry that a replay has sent. */
export type Settled = {
  readonly job: string
  readonly entry: string
  /** `failed`: the entry stays. `moved`: it failed, and its notifications are parked under other ids. */
  readonly outcome: 'handled' | 'failed' | 'moved'
  /** The SQS message that the replay sent. */
  readonly messageId?: string
  /** Why the entry could not be sent at all. */
  readonly reason?: string
  /** Why it failed again. */
  readonly why?: string
}

export const settleEntry = (
  { job, entry, outcome, messageId = '', reason = '', why = reason }: Settled,
  nowMs: number,
): Effect =>
  toEffect([
    step('replayed', {
      entry,
      job,
      message: messageId,
      outcome,
      ms: String(nowMs),
      reason: toShort(reason),
      why: toShort(why),
      change: JSON.stringify({ kind: 'parked', ref: entry, state: outcome === 'handled' ? 'handled' : 'parked' }),
      // A CDR that was sent again is unchanged; only the replay has changed.
      change_of_job: JSON.stringify({
        kind: 'replays',
        ref: job,
        state: outcome === 'handled' ? 'handled' : 'failed_again',
      }),
    }),
  ])

/** Maximum keys of one step. A key has at most 500 characters, and a request 850 kB. */
const MAX_KEYS = 250
const toPortions = (keys: readonly string[]): (readonly string[])[] =>
  Array.from({ length: Math.ceil(keys.length / MAX_KEYS) }, (_, at) => keys.slice(at * MAX_KEYS, (at + 1) * MAX_KEYS))

/**
 * Returns the place of an entry in the list: Unix ms, and a fraction that keeps the order within a commit. A number has room for 4,096
 * fractions.
 */
const toPlace = (ms: number, at: number): string => String(ms + Math.floor(at / 4_096) + (at % 4_096) / 4_096)

/** Maximum characters of the reason of each attempt. An entry keeps fifty of them. */
const MAX_REASON = 200
const toShort = (reason: string): string => plain(reason).slice(0, MAX_REASON)

/** Digits of an entry's id: 80 bits, so that no two entries share an id. */
const ID_DIGITS = 20
const IS_ID = /^[0-9a-f]{20}$/

/**
 * Returns the id of an entry. The same notification has the same id, however often it is parked. An unreadable message keeps the id of the
 * entry from which it was sent.
 */
async function toId({ route, key, messageId, replay }: Parked): Promise<string> {
  if (key === undefined && replay !== undefined && IS_ID.test(replay.entry)) return replay.entry
  return (await sha1(`${route} ${key ?? `message ${messageId}`}`)).slice(0, ID_DIGITS)
}

/**
 * Maximum characters that the list shows of an attribute. A foreign event may have attributes of any length; the message contains them in
 * full.
 */
const MAX_SHOWN = 500
const toShown = (text: string | undefined): string | null => text?.slice(0, MAX_SHOWN) ?? null

async function park(id: string, parked: Parked, nowMs: number, place: string): Promise<Effect> {
  const { route, notification, reason, status, attempts, messageId, messageGroupId, eventSourceARN } = parked
  const { body, contentEncoding, bytes } = await toBody(parked)
  const parts = toParts(body)
  const queue = eventSourceARN?.slice(eventSourceARN.lastIndexOf(':') + 1)
  const record: StoredParked = {
    from: 'functions',
    notification_ids: notification === undefined ? [] : [notification.id.slice(0, MAX_SHOWN)],
    source: notification === undefined ? null : toShown(toSourceId(notification.source)),
    route,
    type: toShown(notification?.type),
    subject: toShown(notification?.subject),
    reason,
    detail: null,
    status: status ?? null,
    handler: toShown(parked.handler),
    attempts,
    received_at: toTime(notification?.time),
    first_attempt_at: toTime(parked.firstReceivedAt),
    parked_at: new Date(nowMs).toISOString(),
    bytes,
    message_id: messageId,
    stale_at: toStaleAt(parked),
    message: {
      queue,
      group: messageGroupId,
      encoding: contentEncoding,
    },
  }
  return toEffect([
    ...parts.map((text, index) => step('part', { subject: 'parked', id, index: String(index), text })),
    step('park', {
      id,
      message: messageId,
      key: plain(parked.key ?? ''),
      attempt: String(attempts),
      status: String(status ?? ''),
      reason: toShort(reason),
      ms: String(nowMs),
      place,
      parts: String(parts.length),
      lane: await toLane(queue ?? route, messageGroupId ?? id),
      json: JSON.stringify(record),
      change: JSON.stringify({ kind: 'parked', ref: id, state: 'parked' }),
    }),
  ])
}

/** Returns the name of a lane's list: for a message group of a queue, or for a lane of a route without a queue. */
const toLane = async (queue: string, group: string): Promise<string> =>
  (await sha1(`${queue} ${group}`)).slice(0, ID_DIGITS)

/**
 * Returns the time from which the notification is stale, computed as its handler does: from its route, or as a call. Returns null if it
 * never is.
 */
function toStaleAt({ notification, maxAgeMs }: Parked): string | null {
  if (notification === undefined) return null
  const usual = parseEventType(notification.type)?.subType === 'call' ? CALL_LIMITS.maxAgeMs : undefined
  const limitMs = maxAgeMs ?? usual
  return limitMs === undefined ? null : toTime(limitMs - ageMs(notification, 0))
}

/** Returns the message in the form that SQS accepts. An unreadable message is returned as it was received. */
async function toBody({ notification, body = '', contentEncoding }: Parked) {
  if (notification === undefined) return { body, contentEncoding, bytes: toBytes(body).length }
  return {
    contentEncoding: undefined,
    ...(await packEvent(notification)),
    bytes: toBytes(formatEvent(notification)).length,
  }
}

/** Returns a time as ISO 8601 in UTC, or null for an invalid time. */
function toTime(time: string | number | undefined): string | null {
  const ms = typeof time === 'number' ? time : Date.parse(time ?? '')
  return Number.isNaN(ms) ? null : new Date(ms).toISOString()
}
