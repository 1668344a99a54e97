import type { ReplayRecord } from '../operator-types.ts'
import { step, toEffect, type Effect, type Step } from '../steps.ts'

/** The place of a replay that has found all of its entries. */
export const FOUND_ALL = 'end'

/** The part of a replay that never changes. */
export type StoredReplay = Pick<ReplayRecord, 'operator' | 'created_at' | 'rate' | 'filter'>

/** A new replay of the entries with these ids, or of those that its filter finds (`ids` is absent). */
export function startReplay(job: string, replay: StoredReplay, ids?: readonly string[]): Effect {
  return toEffect([
    step('replay', { job, ms: String(Date.parse(replay.created_at)), json: JSON.stringify(replay) }),
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

/** Leaves the entries that were not taken where they are. */
export const stopReplay = (job: string): Effect => toEffect([step('stop', { job })])
