import * as v from 'valibot'
import { always, maybe, needed, payload } from './fields.ts'
import { readMoment } from './moments.ts'
import { RelayAlive, RelayGap, RelayParked } from './notices.ts'
import { readCode, readCount, readMilliseconds, readSeconds } from './quantities.ts'
import { isNothing, readText } from './values.ts'

/**
 * The payloads, as tolerant as the field demands: numbers may come as strings and strings as numbers, unknown fields are kept,
 * unknown words of an open set are accepted, and a field that cannot be read is null and named in `unsure`. Source: the vendor's pages
 * Agent Status, Call Connection, Campaign Status, Campaign Preview, CDR and Click2Dial Redis notifications.
 */

export const AgentStatus = payload({
  ref: maybe(readText),
  status: needed,
  campaign_ref: maybe(readText),
})
export type AgentStatus = v.InferOutput<typeof AgentStatus>

export const AgentCall = payload({
  ref: maybe(readText),
  call_ref: maybe(readText),
  agent: maybe(readText),
  contact_ref: maybe(readText),
  number: maybe(readText),
  campaign_ref: maybe(readText),
})
export type AgentCall = v.InferOutput<typeof AgentCall>

/** Listed by the vendor, not documented: cumulative counters, durations in ms. */
export const AgentStats = payload({
  ref: maybe(readText),
  campaign_ref: maybe(readText),
  calls: maybe(readCount),
  talk_time: maybe(readMilliseconds),
  wrapup_time: maybe(readMilliseconds),
  idle_time: maybe(readMilliseconds),
})
export type AgentStats = v.InferOutput<typeof AgentStats>

export const CampaignStatus = payload({
  ref: maybe(readText),
  status: needed,
})
export type CampaignStatus = v.InferOutput<typeof CampaignStatus>

/** Listed by the vendor, not documented: counters since the start, and gauges. */
export const CampaignStats = payload({
  ref: maybe(readText),
  total_calls: maybe(readCount),
  answered: maybe(readCount),
  unanswered: maybe(readCount),
  dropped: maybe(readCount),
  rejected: maybe(readCount),
  failed: maybe(readCount),
  callees_remaining: maybe(readCount),
  callees_queued: maybe(readCount),
  callees_completed: maybe(readCount),
  callees_failed: maybe(readCount),
})
export type CampaignStats = v.InferOutput<typeof CampaignStats>

/** Who will be dialled next. Not preview dialling. */
export const DialPreview = payload({
  ref: maybe(readText),
  callees: v.pipe(
    v.unknown(),
    v.transform((value) => (isNothing(value) ? [] : value)),
    v.array(payload({ number: maybe(readText), contact_ref: maybe(readText) })),
  ),
})
export type DialPreview = v.InferOutput<typeof DialPreview>

const cdrFields = (now: () => number) => ({
  ref: maybe(readText),
  call_ref: always(readText),
  dialed_at: always((value) => readMoment(value, now())),
  extension: maybe(readText),
  number: maybe(readText),
  dial_number: maybe(readText),
  contact_ref: maybe(readText),
  end_reason: maybe(readText),
  end_code: maybe(readCode),
  call_time: maybe(readSeconds),
  hold_time: maybe(readSeconds),
  call_dir: maybe(readText),
  recording_url: maybe(readText),
  campaign_ref: maybe(readText),
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

export const InboundCall = payload({
  ...AgentCall.entries,
  dial_number: maybe(readText),
  hold_time: maybe(readSeconds),
  call_dir: maybe(readText),
})
export type InboundCall = v.InferOutput<typeof InboundCall>

export const DialerStatus = payload({
  ref: maybe(readText),
  status: needed,
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
