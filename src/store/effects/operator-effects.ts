import type { AuditRecord, Replay } from '../../answers/index.ts'
import { type Effect, plain, toEffect } from '../effect.ts'
import type { CdrQuery } from '../reads/cdr-reads.ts'
import { step, type Step } from '../steps.ts'
import type { ParkedQuery } from './park-effects.ts'

/* The operations of operators: replays, the bin, and the audit log of both. */

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
 * Creates the effect that starts a replay of the entries with these ids or, without ids, of the entries or CDRs that its filter matches.
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
