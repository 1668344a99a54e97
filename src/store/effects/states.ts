import {
  type AgentStats,
  type CampaignStats,
  type CampaignStatus,
  type DialerStatus,
  type DialPreview,
  isIdentifier,
  toBytes,
} from '../../protocol/index.ts'
import { plain, type StoreEvent, textOr, toChange, toReceived, toStamp, toState } from '../effect.ts'
import { type Effect, step, toEffect } from '../steps.ts'
import type { KindValue, StateChange } from '../../answers/index.ts'
import { EffectError } from '../errors.ts'
import { toParts } from '../document.ts'

/** campaigns/status: the state and its history. */
export const campaignStatus = (event: StoreEvent<CampaignStatus>): Effect => toEffectOn(event, 'campaign')

/** dialers/status: the same for a dialler; one that names no reference is called after its source. */
export const dialerStatus = (event: StoreEvent<DialerStatus>): Effect => toEffectOn(event, 'dialer')

function toEffectOn(event: StoreEvent<CampaignStatus | DialerStatus>, of: 'campaign' | 'dialer'): Effect {
  const { ref } = event.payload
  const status = toState(event.payload.status)
  const reference = event.reference || ref || (of === 'dialer' ? event.source : '')
  const change: StateChange = { status, at: toReceived(event), source: event.source, notification_id: event.id }
  return toEffect([
    step('state', {
      of,
      ref: reference,
      status,
      stamp: toStamp(event),
      ms: String(Math.round(event.timeMs)),
      at: toReceived(event),
      source: event.source,
      id: plain(event.id),
      json: JSON.stringify(change),
      change: toChange(event, { kind: `${of}s/status`, ref: reference, state: status }),
    }),
  ])
}

/** Values that go up and down; all others are counters, and a decrease of one means that the dialler began to count anew. */
const GAUGE = /^callees_(remaining|queued)$/

/** agents/stats: the latest values and a short series, for each source and campaign. */
export const agentStats = (event: StoreEvent<AgentStats>): Effect => toStats(event, 'agent')

/** campaigns/stats */
export const campaignStats = (event: StoreEvent<CampaignStats>): Effect => toStats(event, 'campaign')

function toStats(event: StoreEvent<AgentStats | CampaignStats>, of: 'agent' | 'campaign'): Effect {
  const values: Record<string, number> = {}
  const counters: string[] = []
  for (const [name, value] of Object.entries(event.payload)) {
    if (isIdentifier(name)) continue
    const number =
      typeof value === 'number' ? value : typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN
    if (!Number.isFinite(number)) continue
    values[name] = number
    if (!GAUGE.test(name)) counters.push(plain(name), String(number))
  }
  const ref = event.reference || event.payload.ref || ''
  const campaign = of === 'agent' ? plain(textOr(event.payload['campaign_ref']) ?? '') : ''
  return toEffect([
    step(
      'stats',
      {
        of,
        ref,
        campaign,
        stamp: toStamp(event),
        at: toReceived(event),
        values: JSON.stringify(values),
        change: toChange(event, { kind: `${of}s/stats`, ref, campaign_ref: campaign }),
      },
      counters,
    ),
  ])
}

/** Upstash sends values in base64, a third larger, and no reply over 1 MB: a larger value could be written and never read. */
const MOST_VALUE_BYTES = 512 * 1024

/**
 * Any kind: the latest payload of a reference, and those before it. A payload is kept as JSON, integers beyond what a number holds as text.
 *
 * @example record(c, latest(await event(c, route)))
 * @throws EffectError when it is larger than the read model accepts
 */
export function latest(event: StoreEvent): Effect {
  const value: Omit<KindValue, 'stale'> = {
    notification_id: event.id,
    source: event.source,
    received_at: toReceived(event),
    payload: event.payload ?? null,
  }
  const json = JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner))
  if (toBytes(json).length > MOST_VALUE_BYTES)
    throw new EffectError(`the payload is larger than ${MOST_VALUE_BYTES} bytes, the limit of latest`)
  const [kind, ref] = [`${event.type}/${event.subType}`, event.reference ?? '']
  return toEffect([
    step('latest', {
      kind,
      ref,
      stamp: toStamp(event),
      ms: String(Math.round(event.timeMs)),
      id: plain(event.id),
      stale_at: event.stale ? '0' : String(event.staleAtMs ?? ''),
      json,
      change: toChange(event, { kind, ref }),
    }),
  ])
}

/**
 * campaigns/dial_preview: who will be dialled next. The list is written in parts under the notification's own key and then put in
 * the place of the former one in one step, so that nobody reads half of it.
 */
export function dialPreview(event: StoreEvent<DialPreview>): Effect {
  const reference = event.reference ?? event.payload.ref ?? ''
  // A callee without one of the two has null there, as everywhere in the read model.
  const callees = event.payload.callees.map((callee) => ({
    ...callee,
    number: textOr(callee.number),
    contact_ref: textOr(callee.contact_ref),
  }))
  const parts = toParts(JSON.stringify(callees))
  return toEffect([
    ...parts.map((text, index) => step('part', { of: 'preview', id: event.id, index: String(index), text })),
    step('preview', {
      ref: reference,
      id: event.id,
      parts: String(parts.length),
      stamp: toStamp(event),
      at: event.time,
      change: toChange(event, { kind: 'campaigns/dial_preview', ref: reference }),
    }),
  ])
}
