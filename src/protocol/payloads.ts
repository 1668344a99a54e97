import * as v from 'valibot'
import { RelayAlive, RelayGap, RelayParked } from './notices.ts'
import {
  isNothing,
  readCode,
  readCount,
  readMilliseconds,
  readMoment,
  readSeconds,
  readText,
  Unsure,
  type Reading,
} from './values.ts'

/**
 * The payloads, as tolerant as the field demands: numbers may come as strings and strings as numbers, unknown fields are kept,
 * unknown words of an open set are accepted, and a field that cannot be read is null and named in `unsure`. Source: the vendor's pages
 * Agent Status, Call Connection, Campaign Status, Campaign Preview, CDR and Click2Dial Redis notifications.
 */

/** The fields of payload schemas. No field is a reason to give up a notification, unless the notification says nothing without it. */

const reading = <T>(read: (value: unknown) => Reading<T>) => v.pipe(v.unknown(), v.transform(read))

/** A field that may be absent or not known; read by `read`, which never refuses. */
const maybe = <T>(read: (value: unknown) => Reading<T>) => v.nullish(reading(read))

/** The same, always there: null when it is absent. */
const always = <T>(read: (value: unknown) => Reading<T>) => v.nullish(reading(read), null)

const text = maybe(readText)
const count = maybe(readCount)
const milliseconds = maybe(readMilliseconds)
const seconds = maybe(readSeconds)

/** A text without which the notification says nothing. */
const needed = v.pipe(
  v.unknown(),
  v.transform(readText),
  v.check((value) => value === null || typeof value === 'string', 'must be text or a number'),
  v.transform((value) => (typeof value === 'string' ? value : '')),
  v.nonEmpty('must not be empty'),
)

/** What was not read with certainty, as it was sent, by the field's name. */
export type UnsureFields = Readonly<Record<string, unknown>>

type Settled<T> = { [K in keyof T]: Exclude<T[K], Unsure> } & {
  /** The fields whose value was not read with certainty, and what was sent; the field itself is null, or the best guess. */
  unsure?: UnsureFields
}

function settle<T extends object>(payload: T): Settled<T> {
  const fields = payload as Record<string, unknown>
  let unsure: Record<string, unknown> | undefined
  // The name is ours: what a dialler sends by it would pass for a list of its own faults.
  delete fields['unsure']
  for (const [name, value] of Object.entries(fields)) {
    if (!(value instanceof Unsure)) continue
    fields[name] = value.used
    unsure = { ...unsure, [name]: value.sent }
  }
  if (unsure !== undefined) fields['unsure'] = unsure
  return payload as Settled<T>
}

/** A payload with these fields and any others; `unsure` names those that were not read with certainty. */
const payload = <const E extends v.ObjectEntries>(entries: E) =>
  v.pipe(
    v.looseObject(entries),
    v.transform((output: v.InferOutput<v.LooseObjectSchema<E, undefined>>) => settle(output)),
  )

export const AgentStatus = payload({ ref: text, status: needed, campaign_ref: text })
export type AgentStatus = v.InferOutput<typeof AgentStatus>

const call = { ref: text, call_ref: text, agent: text, contact_ref: text, number: text, campaign_ref: text }

export const AgentCall = payload(call)
export type AgentCall = v.InferOutput<typeof AgentCall>

/** Listed by the vendor, not documented: cumulative counters, durations in ms. */
export const AgentStats = payload({
  ref: text,
  campaign_ref: text,
  calls: count,
  talk_time: milliseconds,
  wrapup_time: milliseconds,
  idle_time: milliseconds,
})
export type AgentStats = v.InferOutput<typeof AgentStats>

export const CampaignStatus = payload({ ref: text, status: needed })
export type CampaignStatus = v.InferOutput<typeof CampaignStatus>

/** Listed by the vendor, not documented: counters since the start, and gauges. */
export const CampaignStats = payload({
  ref: text,
  total_calls: count,
  answered: count,
  unanswered: count,
  dropped: count,
  rejected: count,
  failed: count,
  callees_remaining: count,
  callees_queued: count,
  callees_completed: count,
  callees_failed: count,
})
export type CampaignStats = v.InferOutput<typeof CampaignStats>

/** Who will be dialled next. Not preview dialling. */
export const DialPreview = payload({
  ref: text,
  callees: v.pipe(
    v.unknown(),
    v.transform((value) => (isNothing(value) ? [] : value)),
    v.array(payload({ number: text, contact_ref: text })),
  ),
})
export type DialPreview = v.InferOutput<typeof DialPreview>

const cdrFields = (now: () => number) => ({
  ref: text,
  call_ref: always(readText),
  dialed_at: always((value) => readMoment(value, now())),
  extension: text,
  number: text,
  dial_number: text,
  contact_ref: text,
  end_reason: text,
  end_code: maybe(readCode),
  call_time: seconds,
  hold_time: seconds,
  call_dir: text,
  recording_url: text,
  campaign_ref: text,
})

/** The schema of a CDR. @param now unix ms: a call cannot have been dialled long after it */
export function createCdrSchema(now: () => number) {
  const fields = cdrFields(now)
  return v.pipe(
    payload(fields),
    v.check(
      (cdr) => cdr.unsure !== undefined || Object.keys(fields).some((name) => (cdr[name] ?? null) !== null),
      'must have a field of a CDR',
    ),
  )
}

/**
 * One for each number tried. `dialed_at` in unix s, times in s, `end_code` Q.850. No single field is needed: a CDR is the record of a call,
 * also where part of it cannot be read. Only one of which no field says anything is refused. Where `dialed_at` is null, use the time
 * received.
 */
export const Cdr = createCdrSchema(Date.now)
export type Cdr = v.InferOutput<typeof Cdr>

export const InboundCall = payload({ ...call, dial_number: text, hold_time: seconds, call_dir: text })
export type InboundCall = v.InferOutput<typeof InboundCall>

export const DialerStatus = payload({ ref: text, status: needed })
export type DialerStatus = v.InferOutput<typeof DialerStatus>

/** The end reasons that the vendor names; the set is open. */
export const END_REASONS = [
  'hungup',
  'callee_hungup',
  'agent_hungup',
  'voicemail',
  'busy',
  'reject',
  'timeout',
  'error',
  'failed',
] as const

/** The schema of each route's payload. */
export const PAYLOADS = {
  'agents-status': AgentStatus,
  'agents-call': AgentCall,
  'agents-stats': AgentStats,
  'campaigns-cdr': Cdr,
  'campaigns-status': CampaignStatus,
  'campaigns-stats': CampaignStats,
  'campaigns-dial_preview': DialPreview,
  'inbound-call': InboundCall,
  'dialers-status': DialerStatus,
  'relay-alive': RelayAlive,
  'relay-gap': RelayGap,
  'relay-parked': RelayParked,
} as const

/** Personal data never reaches a log or an error text unmasked: numbers, contacts, recordings, callees. */

const PERSONAL = new Set(['number', 'dial_number', 'contact_ref', 'recording_url', 'callees'])

/** `27821234567` → `27*******67`; what is too short to show is all stars. */
export const maskNumber = (number: string): string =>
  number.length < 7 ? '*'.repeat(number.length) : number.slice(0, 2) + '*'.repeat(number.length - 4) + number.slice(-2)

/** A copy of a payload (or of anything that holds one) that may be shown: personal fields masked, `callees` only counted. */
export function maskPayload(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(maskPayload)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      if (!PERSONAL.has(name) || inner === null) return [name, maskPayload(inner)]
      if (Array.isArray(inner)) return [name, `${inner.length} masked`]
      return [name, typeof inner === 'object' ? 'masked' : maskNumber(String(inner))]
    }),
  )
}

/** Shorter values (an extension, `1`) would mask half of the text; a phone number or an account is longer. */
const SHORTEST_VALUE = 4

/** Five digits in a row, or seven and more with the separators that phone numbers are written with. */
const DIGITS = /\p{Nd}(?:[ ()+-]{0,2}\p{Nd}){6,}|\p{Nd}{5,}/gu

/**
 * A text from elsewhere (an error, an answer) that may be shown: long runs of digits are masked, and so is every personal value of
 * the payload that the text is about.
 */
export function maskText(text: string, payload?: unknown): string {
  let masked = text
  for (const value of personalValues(payload)) masked = masked.replaceAll(value, '*'.repeat(value.length))
  return masked.replace(DIGITS, (digits) => '*'.repeat(digits.length))
}

function personalValues(value: unknown, personal = false): string[] {
  if (typeof value === 'string' || typeof value === 'number') {
    const text = String(value)
    return personal && text.length >= SHORTEST_VALUE ? [text] : []
  }
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap((inner) => personalValues(inner, personal))
  return Object.entries(value).flatMap(([name, inner]) => personalValues(inner, personal || PERSONAL.has(name)))
}
