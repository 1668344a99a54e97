import * as v from 'valibot'
import { RelayAlive, RelayGap, RelayParked } from './notices.ts'

/**
 * The payloads, as tolerant as the field demands: numbers may come as strings and strings as numbers, unknown fields are kept,
 * unknown words of an open set are accepted. Source: the vendor's pages Agent Status, Call Connection, Campaign Status, Campaign
 * Preview, CDR and Click2Dial Redis notifications.
 */

/** A reference, number or word: always text, whatever it came as. */
const text = v.pipe(
  v.union([v.string(), v.number(), v.bigint(), v.boolean()], 'must be text or a number'),
  v.transform((value) => String(value)),
)

/** A reference that may not be empty. */
const reference = v.pipe(text, v.nonEmpty('must not be empty'))

/** A quantity: a number, or text that is one. */
const quantity = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^\s*-?\d+(\.\d+)?\s*$/, 'must be a number'))], 'must be a number'),
  v.transform(Number),
  v.finite('must be finite'),
)

/** Absent, null and empty text mean the same: not known. No call and no CDR is given up because a field beside it is empty. */
const maybe = <const S extends v.GenericSchema>(schema: S) =>
  v.nullish(
    v.pipe(
      v.unknown(),
      v.transform((value) => (value === '' ? null : value)),
      v.nullable(schema),
    ),
  )

export const AgentStatus = v.looseObject({
  ref: maybe(reference),
  status: v.pipe(text, v.nonEmpty('must not be empty')),
  campaign_ref: maybe(text),
})
export type AgentStatus = v.InferOutput<typeof AgentStatus>

export const AgentCall = v.looseObject({
  ref: maybe(reference),
  call_ref: maybe(reference),
  agent: maybe(text),
  contact_ref: maybe(text),
  number: maybe(text),
  campaign_ref: maybe(text),
})
export type AgentCall = v.InferOutput<typeof AgentCall>

/** Listed by the vendor, not documented: cumulative counters, durations in ms. */
export const AgentStats = v.looseObject({
  ref: maybe(reference),
  campaign_ref: maybe(text),
  calls: maybe(quantity),
  talk_time: maybe(quantity),
  wrapup_time: maybe(quantity),
  idle_time: maybe(quantity),
})
export type AgentStats = v.InferOutput<typeof AgentStats>

export const CampaignStatus = v.looseObject({
  ref: maybe(reference),
  status: v.pipe(text, v.nonEmpty('must not be empty')),
})
export type CampaignStatus = v.InferOutput<typeof CampaignStatus>

/** Listed by the vendor, not documented: counters since the start, and gauges. */
export const CampaignStats = v.looseObject({
  ref: maybe(reference),
  total_calls: maybe(quantity),
  answered: maybe(quantity),
  unanswered: maybe(quantity),
  dropped: maybe(quantity),
  rejected: maybe(quantity),
  failed: maybe(quantity),
  callees_remaining: maybe(quantity),
  callees_queued: maybe(quantity),
  callees_completed: maybe(quantity),
  callees_failed: maybe(quantity),
})
export type CampaignStats = v.InferOutput<typeof CampaignStats>

/** Who will be dialled next. Not preview dialling. */
export const DialPreview = v.looseObject({
  ref: maybe(reference),
  callees: v.array(v.looseObject({ number: maybe(text), contact_ref: maybe(text) })),
})
export type DialPreview = v.InferOutput<typeof DialPreview>

/** One for each number tried. `dialed_at` in unix s, times in s, `end_code` Q.850. */
export const Cdr = v.looseObject({
  ref: maybe(text),
  call_ref: reference,
  dialed_at: quantity,
  extension: maybe(text),
  number: maybe(text),
  dial_number: maybe(text),
  contact_ref: maybe(text),
  end_reason: maybe(text),
  end_code: maybe(quantity),
  call_time: maybe(quantity),
  hold_time: maybe(quantity),
  call_dir: maybe(text),
  recording_url: maybe(text),
  campaign_ref: maybe(text),
})
export type Cdr = v.InferOutput<typeof Cdr>

export const InboundCall = v.looseObject({
  ...AgentCall.entries,
  dial_number: maybe(text),
  hold_time: maybe(quantity),
  call_dir: maybe(text),
})
export type InboundCall = v.InferOutput<typeof InboundCall>

export const DialerStatus = v.looseObject({
  ref: maybe(reference),
  status: v.pipe(text, v.nonEmpty('must not be empty')),
})
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
