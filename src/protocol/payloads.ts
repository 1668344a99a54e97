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

/*
 * Schemas of the payloads. They are as tolerant as diallers in the field require: numbers may arrive as strings and strings as numbers, unknown
 * fields are kept, unknown words of an open set are accepted, and a field that cannot be read is null and named in `unsure`. A payload is
 * rejected only if it lacks a field without which it means nothing.
 * Source: the vendor's pages Agent Status, Call Connection, Campaign Status, Campaign Preview, CDR and Click2Dial Redis notifications.
 */

// The annotation lets a bundler drop the schemas that a function does not use.
const reading = /* @__NO_SIDE_EFFECTS__ */ <T>(read: (value: unknown) => Reading<T>) =>
  v.pipe(v.unknown(), v.transform(read))

/** A field that may be absent or unknown. `read` never rejects a value. */
const maybe = /* @__NO_SIDE_EFFECTS__ */ <T>(read: (value: unknown) => Reading<T>) => v.nullish(reading(read))

/** The same, but always present in the output: null if it is absent or unknown. */
const always = /* @__NO_SIDE_EFFECTS__ */ <T>(read: (value: unknown) => Reading<T>) => v.nullish(reading(read), null)

const text = maybe(readText)
const count = maybe(readCount)
const milliseconds = maybe(readMilliseconds)
const seconds = maybe(readSeconds)

/** A text without which the notification means nothing. */
const needed = v.pipe(
  v.unknown(),
  v.transform(readText),
  v.check((value) => value === null || typeof value === 'string', 'must be text or a number'),
  v.transform((value) => (typeof value === 'string' ? value : '')),
  v.nonEmpty('must not be empty'),
)

/** The original values of fields that could not be read with certainty, by field name. */
export type UnsureFields = Readonly<Record<string, unknown>>

type Settled<T> = { [K in keyof T]: Exclude<T[K], Unsure> } & {
  /** The original values of fields that could not be read with certainty. The field itself holds the best guess, or null. */
  unsure?: UnsureFields
}

function settle<T extends object>(payload: T): Settled<T> {
  const fields = payload as Record<string, unknown>
  let unsure: Record<string, unknown> | undefined
  // A dialler's own field of this name would be mistaken for ours.
  delete fields['unsure']
  for (const [name, value] of Object.entries(fields)) {
    if (!(value instanceof Unsure)) continue
    fields[name] = value.used
    unsure = { ...unsure, [name]: value.sent }
  }
  if (unsure !== undefined) fields['unsure'] = unsure
  return payload as Settled<T>
}

/** Makes the schema of a payload with these and any other fields. `unsure` names the fields that could not be read with certainty. */
const payload = /* @__NO_SIDE_EFFECTS__ */ <const E extends v.ObjectEntries>(entries: E) =>
  v.pipe(
    v.looseObject(entries),
    v.transform((output: v.InferOutput<v.LooseObjectSchema<E, undefined>>) => settle(output)),
  )

export const AgentStatus = payload({ ref: text, status: needed, campaign_ref: text })
export type AgentStatus = v.InferOutput<typeof AgentStatus>

const call = { ref: text, call_ref: text, agent: text, contact_ref: text, number: text, campaign_ref: text }

export const AgentCall = payload(call)
export type AgentCall = v.InferOutput<typeof AgentCall>

/** Mentioned but not documented by the vendor: cumulative counters, durations in ms. */
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

/** Mentioned but not documented by the vendor: counters since the start of the campaign, and gauges. */
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

/** The contacts that will be dialled next. This is not preview dialling. */
export const DialPreview = payload({
  ref: text,
  callees: v.pipe(
    v.unknown(),
    v.transform((value) => (isNothing(value) ? [] : value)),
    v.array(payload({ number: text, contact_ref: text })),
  ),
})
export type DialPreview = v.InferOutput<typeof DialPreview>

const cdrFields = /* @__NO_SIDE_EFFECTS__ */ (now: () => number) => ({
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

/** Makes the schema of a CDR. @param now returns the time (Unix ms). A `dialed_at` more than a day later is unknown */
/* @__NO_SIDE_EFFECTS__ */
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
 * A CDR: one for each number that was tried. `dialed_at` is in Unix seconds, durations are in seconds, `end_code` is a Q.850 cause. No single
 * field is required, because a CDR is the record of a call even if part of it cannot be read. Only a CDR without any usable field is rejected.
 * If `dialed_at` is null, use the time of receipt.
 */
export const Cdr = createCdrSchema(() => Date.now())
export type Cdr = v.InferOutput<typeof Cdr>

export const InboundCall = payload({ ...call, dial_number: text, hold_time: seconds, call_dir: text })
export type InboundCall = v.InferOutput<typeof InboundCall>

export const DialerStatus = payload({ ref: text, status: needed })
export type DialerStatus = v.InferOutput<typeof DialerStatus>

/** The end reasons that the vendor names. Accept others: the set is open. */
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

/** The payload schemas of the kinds that the project knows, by the name of the route. */
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

/* Masks: personal data (numbers, contacts, recordings, callees) never reaches a log or an error text unmasked. */

const PERSONAL = new Set(['number', 'dial_number', 'contact_ref', 'recording_url', 'callees'])

/** Masks a phone number: `27821234567` → `27*******67`. Replaces numbers of fewer than 7 characters by asterisks only. */
export const maskNumber = (number: string): string =>
  number.length < 7 ? '*'.repeat(number.length) : number.slice(0, 2) + '*'.repeat(number.length - 4) + number.slice(-2)

/** Returns a copy of a payload, or of a value that contains payloads, with personal fields masked and `callees` replaced by their number. */
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

/** The shortest personal value that is masked. A shorter one, such as an extension or `1`, would mask half of a text by coincidence. */
const MIN_MASKED_LENGTH = 4

/** Five consecutive digits, or seven and more with the separators that are usual in phone numbers. */
const DIGITS = /\p{Nd}(?:[ ()+-]{0,2}\p{Nd}){6,}|\p{Nd}{5,}/gu

/** Masks a foreign text, such as an error or a response: long runs of digits, and every personal value of the payload that it is about. */
export function maskText(words: string, about?: unknown): string {
  let masked = words
  for (const value of personalValues(about)) masked = masked.replaceAll(value, '*'.repeat(value.length))
  return masked.replace(DIGITS, (digits) => '*'.repeat(digits.length))
}

function personalValues(value: unknown, isPersonal = false): string[] {
  if (typeof value === 'string' || typeof value === 'number') {
    const shown = String(value)
    return isPersonal && shown.length >= MIN_MASKED_LENGTH ? [shown] : []
  }
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap((inner) => personalValues(inner, isPersonal))
  return Object.entries(value).flatMap(([name, inner]) => personalValues(inner, isPersonal || PERSONAL.has(name)))
}
