import * as v from 'valibot'

/** What the relay says itself: packets of its own, on the routes of the type `relay`. */

/** Why PubSub was not heard, or why notifications that were heard are lost. */
export const GAP_CAUSES = [
  'start',
  'reconnect',
  'heartbeat_lost',
  'output_buffer_overrun',
  'journal_full',
  'journal_damaged',
] as const
export type GapCause = (typeof GAP_CAUSES)[number]

/**
 * A span of time in which PubSub was not heard. The event's `sequence` tells what was heard since: a PubSub notification of the same
 * source with a lower one is from before the gap.
 */
export const RelayGap = v.looseObject({
  /** The source's id: `main`. */
  source: v.string(),
  /** The relay's id. */
  relay: v.string(),
  /** ISO 8601, ms: last heard, and heard again. */
  from: v.string(),
  to: v.string(),
  /** One of `GAP_CAUSES`; the set is open. */
  cause: v.string(),
  /** The PubSub patterns that were not heard. */
  patterns: v.array(v.string()),
  /** `journal_full`, `journal_damaged`: how many notifications are lost, of which route, as far as that is known. */
  lost: v.optional(v.number()),
  route: v.optional(v.string()),
})
export type RelayGap = v.InferOutput<typeof RelayGap>

/** A relay lives and is ready: said once a minute. One that is silent raises an alarm in the cloud. */
export const RelayAlive = v.looseObject({
  /** The relay's id, and the event's `subject`. */
  relay: v.pipe(v.string(), v.nonEmpty('must not be empty')),
  /** The ids of the sources that it reads. */
  sources: v.array(v.string()),
  /** The keys of the lists that it takes items from, in each source; a relay of an older version does not say. */
  lists: v.optional(v.array(v.string())),
  /** ISO 8601, ms: when this process began. */
  started: v.string(),
})
export type RelayAlive = v.InferOutput<typeof RelayAlive>

/** A notification that the relay put aside, or that somebody took from there. The last one, by `sequence`, counts. */
export const RelayParked = v.looseObject({
  source: v.string(),
  /** The notification's id, and the event's `subject`. */
  id: v.string(),
  /** `parked`: it is in the source's list `enigma:relay:parked`; `retried`: SQS has accepted it since; `dropped`: it was deleted by hand. */
  state: v.picklist(['parked', 'retried', 'dropped']),
  /** The route's name: `agents-call`. */
  route: v.string(),
  /** `too_large`, `refused`. */
  reason: v.string(),
  /** One masked line. */
  detail: v.string(),
  /** ISO 8601, ms: when the relay received it, and put it aside. */
  received: v.string(),
  parkedat: v.string(),
  /** Of the event, in UTF-8. */
  bytes: v.number(),
  /** The event's type: `enigma.agents.call`. */
  type: v.string(),
})
export type RelayParked = v.InferOutput<typeof RelayParked>

/** A step of a replay. */
export const ReplayStep = v.looseObject({
  job: v.pipe(v.string(), v.nonEmpty('must not be empty')),
  /** How often the replay had gone on when the step was asked for. */
  steps: v.optional(v.number()),
})
export type ReplayStep = v.InferOutput<typeof ReplayStep>
