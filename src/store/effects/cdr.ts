import type { Cdr } from '../../protocol/index.ts'
import { numberOr, plain, textOr, toReceived, toSource, toStamp, type Effect, type StoreEvent } from '../effect.ts'
import { toDigest } from './digest.ts'
import { toNumbers } from './phone-numbers.ts'
import { toEffect } from '../to-effect.ts'
import type { CdrRecord } from '../types.ts'

/**
 * What makes a CDR the same one when it comes again: its source, `call_ref`, `dialed_at` (unix s; null where it is unknown) and number. One CDR
 * is written for each number tried, and a number that fails at once is followed by the next within the same second. Without a `call_ref` it is
 * what it says; without a `dialed_at` as well, only the notification itself: two tries may say the same.
 */
const toKey = (...parts: readonly (string | number | null)[]): string => JSON.stringify(parts)

/** Clocks differ; a call that was dialled further in the future (ms) was not dialled then. */
const AHEAD_MS = 24 * 3600_000

/** Longest end reason under which CDRs are counted. */
const MOST_REASON = 200

/** Unix s, or null where it cannot be when a call was dialled. */
function toDialedAt(value: unknown, receivedMs: number): number | null {
  const seconds = numberOr(value)
  return seconds === null || seconds <= 0 || seconds * 1000 > receivedMs + AHEAD_MS ? null : seconds
}

/**
 * campaigns/cdr: one record per (source, call_ref, dialed_at, number). The same again changes nothing; other content is a revision, kept
 * and flagged. Ends the agent's call when it is of that call.
 */
export function cdr(event: StoreEvent<Cdr>): Effect {
  const p = event.payload
  const dialedAt = toDialedAt(p.dialed_at, event.timeMs)
  const callRef = textOr(p.call_ref)
  const number = textOr(p.number)
  const { unsure: sent = {}, ...read } = p
  // As it was sent, also where it could not be read.
  const payload = { ...read, ...sent }
  const unsure = [...new Set([...Object.keys(sent), ...(dialedAt === null ? ['dialed_at'] : [])])]
  const campaign = event.reference || textOr(p.ref) || textOr(p.campaign_ref)
  // In the place of what is not known, when it was received: it is found among the CDRs of then.
  const listedMs = Math.round(dialedAt === null ? event.timeMs : dialedAt * 1000)
  const listedAt = new Date(listedMs).toISOString()
  const record: Omit<CdrRecord, 'id' | 'revised'> = {
    source: event.source,
    call_ref: callRef,
    dialed_at: listedAt,
    unsure,
    campaign_ref: campaign,
    extension: textOr(p.extension),
    contact_ref: textOr(p.contact_ref),
    number,
    dial_number: textOr(p.dial_number),
    end_reason: textOr(p.end_reason),
    end_code: numberOr(p.end_code),
    call_time: numberOr(p.call_time),
    hold_time: numberOr(p.hold_time),
    call_dir: textOr(p.call_dir),
    recording_url: textOr(p.recording_url),
    received_at: toReceived(event),
  }
  const indexes = [
    ['campaign', campaign],
    ['agent', record.extension],
    ['contact', record.contact_ref],
    ['number', number],
    ['number', record.dial_number],
  ].filter((index): index is [string, string] => index[1] !== null)
  const keys = [...new Set(indexes.map(([of, value]) => plain(`${of}:${value}`)))]
  const digest = toDigest(payload)
  const seconds = Math.max(0, record.call_time ?? 0) + Math.max(0, record.hold_time ?? 0)
  return toEffect([
    [
      'cdr',
      callRef !== null
        ? toKey(event.source, callRef, dialedAt, number)
        : toKey(event.source, null, dialedAt, number, dialedAt === null ? event.id : digest),
      toSource(event),
      callRef ?? '',
      plain(record.extension ?? ''),
      toStamp(event),
      String(Math.round(event.timeMs)),
      String(listedMs),
      dialedAt === null ? '' : String(Math.round((dialedAt + seconds) * 1000)),
      toNumbers(number, record.dial_number),
      digest,
      JSON.stringify(payload),
      JSON.stringify(record),
      campaign ?? '',
      `${listedAt.slice(0, 13)}:00:00Z|${(record.end_reason ?? 'unknown').slice(0, MOST_REASON)}`,
      ...keys,
    ],
  ])
}
