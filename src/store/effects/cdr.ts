import { toBase64, type Cdr } from '../../protocol/index.ts'
import { numberOr, textOr, toStamp, type Effect, type StoreEvent } from '../effect.ts'
import { toEffect } from '../to-effect.ts'
import type { CdrRecord } from '../types.ts'

/** The id of a CDR, for URLs: base64url of its source, `call_ref` and `dialed_at` (unix s). */
export function cdrId(source: string, callRef: string, dialedAt: number): string {
  return toBase64(JSON.stringify([source, callRef, dialedAt]))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
}

/** The same content is the same text, whatever the order of its fields. */
function canonical(payload: Record<string, unknown>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(payload).toSorted(([a], [b]) => (a < b ? -1 : 1))))
}

/**
 * campaigns/cdr: one record per (source, call_ref, dialed_at). The same again changes nothing; other content is a revision, kept and
 * flagged. Ends the agent's call.
 */
export function cdr(event: StoreEvent<Cdr>): Effect {
  const p = event.payload
  // What is not known is taken from the notification: without a reference it is a CDR of its own.
  const dialedSeconds = p.dialed_at ?? event.timeMs / 1000
  const id = cdrId(event.source, p.call_ref ?? event.id, dialedSeconds)
  const campaign = event.reference || textOr(p.ref) || textOr(p.campaign_ref)
  const dialedMs = Math.round(dialedSeconds * 1000)
  const dialedAt = new Date(Math.abs(dialedMs) <= 8.64e15 ? dialedMs : 0).toISOString()
  const record: Omit<CdrRecord, 'revised'> = {
    id,
    source: event.source,
    call_ref: p.call_ref,
    dialed_at: dialedAt,
    campaign_ref: campaign,
    extension: textOr(p.extension),
    contact_ref: textOr(p.contact_ref),
    number: textOr(p.number),
    dial_number: textOr(p.dial_number),
    end_reason: textOr(p.end_reason),
    end_code: numberOr(p.end_code),
    call_time: numberOr(p.call_time),
    hold_time: numberOr(p.hold_time),
    call_dir: textOr(p.call_dir),
    recording_url: textOr(p.recording_url),
    received_at: event.time,
  }
  const indexes = [
    ['campaign', campaign],
    ['agent', record.extension],
    ['contact', record.contact_ref],
    ['number', record.number],
    ['number', record.dial_number],
  ].filter((index): index is [string, string] => index[1] !== null)
  const keys = [...new Set(indexes.map(([of, value]) => `${of}:${value}`))]
  return toEffect([
    [
      'cdr',
      id,
      event.source,
      p.call_ref ?? '',
      record.extension ?? '',
      toStamp(event),
      String(event.timeMs),
      String(dialedMs),
      canonical(p),
      JSON.stringify(record),
      campaign ?? '',
      `${dialedAt.slice(0, 13)}:00:00Z|${record.end_reason ?? 'unknown'}`,
      ...keys,
    ],
  ])
}
