import type { MissingCdr } from '../../answers/index.ts'
import { type Cdr, toBytes } from '../../protocol/index.ts'
import { dialedAtOf, fnv1a, FNV_OFFSET, formatCdrEvent, toCdr, toDigest } from '../cdr-record.ts'
import { FIELD_SEPARATOR } from '../document.ts'
import {
  type Effect,
  plain,
  type StoreEvent,
  textOr,
  toChange,
  toEffect,
  toSource,
  toStamp,
  toState,
} from '../effect.ts'
import type { AwaitedCall } from '../reads/loss-reads.ts'
import { step } from '../steps.ts'
import { EffectError } from '../store-errors.ts'

/**
 * Returns the key that identifies a CDR when it arrives again: its source, `call_ref`, `dialed_at` (Unix s; null if unknown) and number.
 * The dialler writes one CDR for each number tried, and a number that fails at once is followed by the next within the same second. Without
 * a `call_ref`, the content identifies it. Without a `dialed_at` as well, only the notification does, since two tries may have the same
 * content.
 */
const toCdrKey = (...parts: readonly (string | number | null)[]): string => JSON.stringify(parts)

/** Maximum bytes of a stored CDR. Several CDRs must fit into a reply of Upstash, which was limited to 1 MB until 2025. */
const MAX_CDR_BYTES = 400_000

/** Maximum characters of an end reason under which CDRs are counted. */
const MAX_REASON = 200

/**
 * Creates the effect of campaigns/cdr: one record per (source, call_ref, dialed_at, number). A copy changes nothing; other content for the
 * same key is stored as a revision. The CDR ends the agent's call if it belongs to that call.
 */
export function cdr(event: StoreEvent<Cdr>): Effect {
  const read = toCdr(event, event.payload)
  const { record, payload } = read
  const { call_ref: callRef, number, dial_number, extension, contact_ref, campaign_ref: campaign } = record
  const listedMs = Date.parse(record.dialed_at)
  const dialedAt = dialedAtOf(event.payload, event.timeMs)
  const [talk, hold] = [Math.max(0, record.call_time ?? 0), Math.max(0, record.hold_time ?? 0)]
  const isAnswered = extension !== null && talk > 0
  const digest = toDigest(payload)
  const terms = [
    ['agent', extension],
    ['contact', contact_ref],
    ['number', number],
    ['number', dial_number],
  ] as const
  const kept = formatCdrEvent(event, read, digest)
  if (toBytes(kept.event + kept.packet).length > MAX_CDR_BYTES)
    throw new EffectError(
      `the notification is larger than ${MAX_CDR_BYTES} bytes, the limit of the read model for a CDR`,
    )
  const reason = plain((record.end_reason ?? 'unknown').slice(0, MAX_REASON))
  return toEffect([
    step(
      'cdr',
      {
        id:
          callRef !== null
            ? toCdrKey(event.source, callRef, dialedAt, number)
            : toCdrKey(event.source, null, dialedAt, number, dialedAt === null ? event.id : digest),
        source: toSource(event),
        call_ref: plain(callRef ?? ''),
        agent: plain(extension ?? ''),
        stamp: toStamp(event),
        ms: String(Math.round(event.timeMs)),
        listed_ms: String(listedMs),
        end_ms: dialedAt === null ? '' : String(Math.round((dialedAt + talk + hold) * 1000)),
        numbers: toNumbers(number, dial_number),
        digest: digest.slice(0, DIGEST_LENGTH),
        id_of_event: plain(event.id),
        ...kept,
        campaign: plain(campaign ?? ''),
        counts: [reason, ...(isAnswered ? [1, talk, hold] : extension === null ? ['', '', '', 1] : [])].join(
          FIELD_SEPARATOR,
        ),
        change: toChange(event, {
          kind: 'campaigns/cdr',
          ref: campaign ?? '',
          state: toState(record.end_reason ?? ''),
          call_ref: callRef ?? undefined,
        }),
      },
      [...new Set(terms.flatMap(([of, value]) => (value === null ? [] : [toTerm(of, value)])))],
    ),
  ])
}

/** Stored digits of a digest. They suffice, because only CDRs of one key are compared. */
const DIGEST_LENGTH = 8

/**
 * Creates the effect that lists a call as one without a CDR, unless its CDR has arrived meanwhile. The CDR removes the call from the list,
 * however late it arrives.
 */
export function missingCdr({ stamp, callRef, handedMs, record }: AwaitedCall, nowMs: number): Effect {
  const listed: MissingCdr = { ...record, listed_at: new Date(nowMs).toISOString() }
  const { source, agent, campaign_ref, left_at, notification_id } = listed
  const change = (state: string): string =>
    JSON.stringify({ kind: 'missing', ref: agent, campaign_ref: campaign_ref ?? undefined, state, source })
  return toEffect([
    step('missing', {
      agent,
      source: toSource({ source }),
      call_ref: callRef,
      stamp,
      left_ms: left_at === null ? '' : String(Date.parse(left_at)),
      id: plain(notification_id),
      ms: String(handedMs),
      json: JSON.stringify(listed),
      change: change('missing'),
      change_back: change('arrived'),
    }),
  ])
}

/** Digits in the order of their codes, so that entries sort as text. `DIGITS` of `lua/cdrs.lua` must be the same. */
export const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~'

/** Returns the id of a CDR from a digest in hexadecimal digits. The id holds 59 bits of it. */
export function toCdrId(digest: string): string {
  const letters = DIGITS.replace(/\W|_/g, '')
  const size = BigInt(letters.length)
  let [id, left] = ['', BigInt(`0x${digest}`)]
  for (; id.length < ID_LENGTH; left /= size) id += letters[Number(left % size)]
  return id
}

/**
 * Returns the term that finds the CDRs of an agent, a contact or a number in an index: five digits of a hash. `lua/cdrs.lua` writes the
 * indexes.
 */
export function toTerm(of: 'agent' | 'contact' | 'number', value: string): string {
  const digits = of === 'number' ? value.replace(/\D/g, '') : ''
  return toDigits(`${of}:${digits.length >= LAST_DIGITS ? digits.slice(-LAST_DIGITS) : value}`)
}

/** Returns 30 bits of an FNV-1a hash, as five digits. */
function toDigits(text: string): string {
  let state = fnv1a(text, FNV_OFFSET)
  // The low bits of FNV are the weakest, and the first digits choose the field of an entry.
  state ^= state >>> 15
  let digits = ''
  for (let at = 0; at < 5; at++, state >>>= 6) digits += DIGITS[state & 63]
  return digits
}

export const ID_LENGTH = 10

/** The same phone number may be written with and without its prefix, so only the last digits are compared. */
const LAST_DIGITS = 7

/** Returns the numbers of a call or CDR as the script compares them: their last digits, separated by commas; empty without a number. */
export function toNumbers(...values: readonly unknown[]): string {
  const digits = values.map((value) => (textOr(value) ?? '').replace(/\D/g, '').slice(-LAST_DIGITS))
  return [...new Set(digits.filter((number) => number !== ''))].join(',')
}
