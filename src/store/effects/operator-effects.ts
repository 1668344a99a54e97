import type { AuditRecord, GapRecord, OtherRecord, RelayRecord, Replay } from '../../answers/index.ts'
import {
  callsEndedBy,
  isTooLarge,
  maskText,
  type RelayAlive,
  type RelayGap,
  type RelayParked,
  toBase64,
} from '../../protocol/index.ts'
import { toParts } from '../document.ts'
import {
  type Effect,
  numberOr,
  plain,
  type StoreEvent,
  textOr,
  toChange,
  toEffect,
  toMs,
  toSource,
  toStamp,
} from '../effect.ts'
import type { CdrQuery } from '../reads/cdr-reads.ts'
import { step, type Step } from '../steps.ts'
import type { ParkedQuery, StoredParked } from './park-effects.ts'

/** Maximum characters of a type under which notifications are counted. */
const MAX_TYPE = 200

/** Creates the effect of a notification without a route: the last thousand are kept with their bytes, and counted per type. */
export function other(event: StoreEvent): Effect {
  const isText = typeof event.data === 'string'
  const parts = toParts(typeof event.data === 'string' ? event.data : toBase64(event.data))
  const type = `${event.type}/${event.subType}`
  const record: Omit<OtherRecord, 'text' | 'base64'> & { form: 'text' | 'base64' } = {
    notification_id: event.id,
    source: event.source,
    type,
    reason: event.reason ?? null,
    channel: event.channel,
    transport: event.transport,
    received_at: event.time,
    form: isText ? 'text' : 'base64',
  }
  return toEffect([
    ...parts.map((text, index) => step('part', { subject: 'other', id: event.id, index: String(index), text })),
    step('other', {
      id: event.id,
      type: type.slice(0, MAX_TYPE),
      parts: String(parts.length),
      ms: String(event.timeMs),
      json: JSON.stringify(record),
      change: toChange(event, { kind: 'other', ref: event.reference ?? '', state: event.reason }),
    }),
  ])
}

/** Creates the effect of relay/gap: a time span in which Pub/Sub could not be heard. Older states are unsure until they are heard again. */
export function relayGap(event: StoreEvent<RelayGap>): Effect {
  const p = event.payload
  const toMsUnix = toMs(p.to, event.timeMs)
  const record: GapRecord = {
    notification_id: event.id,
    source: p.source,
    relay: p.relay,
    from: new Date(toMs(p.from, toMsUnix)).toISOString(),
    to: new Date(toMsUnix).toISOString(),
    cause: p.cause,
    // The patterns in a source's configuration may contain anything.
    patterns: p.patterns.map(maskText),
    route: textOr(p.route),
    lost: numberOr(p.lost),
  }
  return toEffect([
    step('gap', {
      id: event.id,
      source: p.source,
      route: p.route ?? '',
      sequence: event.sequence,
      to_ms: String(toMsUnix),
      json: JSON.stringify(record),
      change: toChange(event, { kind: 'relay/gap', ref: p.source, state: p.cause }),
    }),
  ])
}

/** Creates the effect of relay/alive: a relay was ready at that time. */
export function relayAlive(event: StoreEvent<RelayAlive>): Effect {
  const p = event.payload
  const record: RelayRecord = {
    relay: p.relay,
    sources: p.sources,
    lists: p.lists ?? [],
    started_at: new Date(toMs(p.started, event.timeMs)).toISOString(),
    ready_at: new Date(event.timeMs).toISOString(),
  }
  const change = toChange(event, { kind: 'relay/alive', ref: p.relay })
  const takes = record.lists.flatMap((list) => callsEndedBy(list) ?? [])
  const ofSources = p.sources.flatMap((source) => takes.map((kind) => `${kind}|${toSource({ source })}`))
  return toEffect([
    step('alive', {
      relay: p.relay,
      stamp: toStamp(event),
      takes: ofSources.join(','),
      json: JSON.stringify(record),
      change,
    }),
  ])
}

/**
 * Creates the effect of relay/parked: the relay parked a notification, or has since sent or dropped it. Of several notices
 * about one notification, the latest wins.
 */
export function relayParked(event: StoreEvent<RelayParked>): Effect {
  const p = event.payload
  const parkedMs = toMs(p.parkedat, event.timeMs)
  const record: StoredParked = {
    from: 'relay',
    notification_ids: [p.id],
    source: p.source,
    route: p.route,
    type: p.type,
    subject: null,
    reason: p.reason,
    // The relay has masked the detail; an older or foreign relay may not have.
    detail: isTooLarge(p.detail) ? p.detail : maskText(p.detail),
    status: null,
    handler: null,
    attempts: null,
    received_at: new Date(toMs(p.received, event.timeMs)).toISOString(),
    first_attempt_at: null,
    parked_at: new Date(parkedMs).toISOString(),
    bytes: p.bytes,
    message_id: null,
    stale_at: null,
  }
  return toEffect([
    step('parked', {
      id: p.id,
      state: p.state,
      stamp: toStamp(event),
      ms: String(parkedMs),
      json: JSON.stringify(record),
      change: toChange(event, { kind: 'relay/parked', ref: p.id, state: p.state }),
    }),
  ])
}

/* The following effects are operations of operators: replays, the bin, and the audit log of both. */

/** The place of a replay that has found all of its entries. */
export const FOUND_ALL = 'end'

/** The part of a replay that never changes. `filter.untilMs` is never later than the request. */
export type StoredReplay = Pick<Replay, 'operator' | 'created_at' | 'rate'> & {
  readonly filter: ParkedQuery | null
  /** The number of entries parked by the relay, which a command asks the relay to send again. */
  readonly relay?: number
  /** A relay drives the replay and asks the API for each step. Absent: the steps are messages of a queue. */
  readonly by?: 'relay'
  /** The CDRs to send instead of parked entries, and the route of the function that receives them. */
  readonly cdrs?: CdrQuery & { readonly route: string }
}

/**
 * Creates the effect that starts a replay of the entries with these ids, or without ids, of the entries or CDRs that its filter matches.
 */
export function startReplay(job: string, replay: StoredReplay, ids?: readonly string[]): Effect {
  return toEffect([
    step('replay', {
      job,
      subject: replay.cdrs === undefined ? 'parked' : 'cdrs',
      by: replay.by ?? '',
      ms: String(Date.parse(replay.created_at)),
      json: JSON.stringify(replay),
    }),
    ...(ids === undefined ? [] : [select(job, '', null, [...new Set(ids)], true)]),
  ])
}

/** Creates the effect that adds the entries found between two places to a replay (`to` is null when the search is complete). */
export const selectEntries = (job: string, from: string, to: string | null, ids: readonly string[]): Effect =>
  toEffect([select(job, from, to, ids, false)])

const select = (job: string, from: string, to: string | null, ids: readonly string[], isChosen: boolean): Step =>
  step('select', { job, from, to: to ?? FOUND_ALL, is_chosen: isChosen ? '1' : '' }, ids)

/**
 * Creates the effect that takes the next entries, so that no other replay can take them. It does nothing while taken entries are still to
 * be sent.
 */
export const claimEntries = (job: string, count: number): Effect =>
  toEffect([step('claim', { job, count: String(count) })])

/** Creates the effect that records that all entries of a round were sent. */
export const noteSent = (job: string, round: string): Effect => toEffect([step('sent', { job, round })])

/** Creates the effect that lets this relay drive a replay for `forMs`, unless another relay drives it. */
export const driveReplay = (job: string, relay: string, forMs: number): Effect =>
  toEffect([step('drive', { job, relay: plain(relay), for_ms: String(forMs) })])

/** Creates the effect that removes a finished replay from the replays that relays drive. */
export const leaveReplay = (job: string): Effect => toEffect([step('leave', { job })])

/** Creates the effect that stops a replay. Entries that it has not taken stay parked. */
export const stopReplay = (job: string): Effect => toEffect([step('stop', { job })])

const toParkedChange = (entry: string, state: string) => JSON.stringify({ kind: 'parked', ref: entry, state })

/** Creates the effect that moves parked entries of functions to the bin. An entry that a replay is about to send stays. */
export const deleteEntries = (ids: readonly string[], operator: string, nowMs: number): Effect =>
  toEffect(
    ids.map((entry) =>
      step('bin', { entry, ms: String(nowMs), operator: plain(operator), change: toParkedChange(entry, 'deleted') }),
    ),
  )

/** Creates the effect that moves entries from the bin back to their places. */
export const restoreEntries = (ids: readonly string[]): Effect =>
  toEffect(ids.map((entry) => step('restore', { entry, change: toParkedChange(entry, 'parked') })))

/** Creates the effect that adds a line to the audit log: who changed or revealed what. */
export const audit = (record: AuditRecord): Effect =>
  toEffect([step('audit', { id: record.id, ms: String(Date.parse(record.at)), json: plain(JSON.stringify(record)) })])
