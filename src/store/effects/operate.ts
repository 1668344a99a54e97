import type { AuditRecord, Replay } from '../../answers/index.ts'
import { plain } from '../effect.ts'
import { step, toEffect, type Effect, type Step } from '../steps.ts'
import type { CdrQuery, ParkedQuery } from '../types.ts'

/** What operators do: replays, the bin, and the audit log of both. */

/** The place of a replay that has found all of its entries. */
export const FOUND_ALL = 'end'

/** The part of a replay that never changes; `filter.untilMs` is when it was asked for, at the latest. */
export type StoredReplay = Pick<Replay, 'operator' | 'created_at' | 'rate'> & {
  readonly filter: ParkedQuery | null
  /** How many entries of the relay it is to send again, by a command. */
  readonly relay?: number
  /** A relay drives it: it asks the API for each step. Absent: its steps are messages of a queue. */
  readonly by?: 'relay'
  /** CDRs that the read model keeps, in the place of parked entries, and the route of the function that gets them. */
  readonly cdrs?: CdrQuery & { readonly route: string }
}

/** A new replay of the entries with these ids, or of those that its filter or its CDRs find (`ids` is absent). */
export function startReplay(job: string, replay: StoredReplay, ids?: readonly string[]): Effect {
  return toEffect([
    step('replay', {
      job,
      of: replay.cdrs === undefined ? 'parked' : 'cdrs',
      by: replay.by ?? '',
      ms: String(Date.parse(replay.created_at)),
      json: JSON.stringify(replay),
    }),
    ...(ids === undefined ? [] : [select(job, '', null, [...new Set(ids)], true)]),
  ])
}

/** Entries that were found from one place on, up to another (null: all are found). */
export const selectEntries = (job: string, from: string, to: string | null, ids: readonly string[]): Effect =>
  toEffect([select(job, from, to, ids, false)])

const select = (job: string, from: string, to: string | null, ids: readonly string[], isChosen: boolean): Step =>
  step('select', { job, from, to: to ?? FOUND_ALL, is_chosen: isChosen ? '1' : '' }, ids)

/** Takes the next entries, so that no other replay can, unless some are still to be sent. */
export const claimEntries = (job: string, count: number): Effect =>
  toEffect([step('claim', { job, count: String(count) })])

/** The entries of a round were all sent. */
export const noteSent = (job: string, round: string): Effect => toEffect([step('sent', { job, round })])

/** Has this relay drive a replay for so long (ms), unless another one does. */
export const driveReplay = (job: string, relay: string, forMs: number): Effect =>
  toEffect([step('drive', { job, relay: plain(relay), for_ms: String(forMs) })])

/** Takes a replay that has come to its end from those that relays are to drive. */
export const leaveReplay = (job: string): Effect => toEffect([step('leave', { job })])

/** Leaves the entries that were not taken where they are. */
export const stopReplay = (job: string): Effect => toEffect([step('stop', { job })])

const toChange = (entry: string, state: string) => JSON.stringify({ kind: 'parked', ref: entry, state })

/** Puts parked entries of functions in the bin; one that a replay is about to send stays. */
export const deleteEntries = (ids: readonly string[], operator: string, nowMs: number): Effect =>
  toEffect(
    ids.map((entry) =>
      step('bin', { entry, ms: String(nowMs), operator: plain(operator), change: toChange(entry, 'deleted') }),
    ),
  )

/** Takes entries out of the bin, back to their places. */
export const restoreEntries = (ids: readonly string[]): Effect =>
  toEffect(ids.map((entry) => step('restore', { entry, change: toChange(entry, 'parked') })))

/** Notes who wrote or revealed what. */
export const audit = (record: AuditRecord): Effect =>
  toEffect([step('audit', { id: record.id, ms: String(Date.parse(record.at)), json: plain(JSON.stringify(record)) })])
