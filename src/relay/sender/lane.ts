import type { Item } from '../item.ts'
import type { Pack } from './pack.ts'

/**
 * Where a lane stands. `idle`: it has nothing to send. `ready`: it is in line for the next request. `busy`: a pack of it is in flight, waits
 * for its retry, or is being compressed, bisected or parked; what comes meanwhile waits.
 *
 *     idle → ready → busy → ready, when there is more to send
 *                         → idle
 */
export type LaneState = 'idle' | 'ready' | 'busy'

/** An ordered stream inside a route: at most one pack of it is in flight, and what gathers meanwhile makes the next one. */
export type Lane = {
  /** Its number as text: the SQS message group. */
  readonly group: string
  waiting: Item[]
  /** Where in `waiting` the next pack begins: a queue without moving its items. */
  head: number
  /** Packs to be sent before anything that waits: one that is retried, or the parts of one that was refused. */
  frozen: Pack[]
  /** Changed by `moveLane` only. */
  readonly state: LaneState
  /** Tries in a row that failed. */
  failures: number
}

const NEXT: Readonly<Record<LaneState, readonly LaneState[]>> = {
  idle: ['ready'],
  ready: ['busy'],
  busy: ['ready', 'idle'],
}

/** The one place where a lane changes its state. @throws TypeError for a change that would break the order */
export function moveLane(lane: Lane, to: LaneState): void {
  if (!NEXT[lane.state].includes(to)) throw new TypeError(`lane ${lane.group} cannot go from ${lane.state} to ${to}`)
  ;(lane as { state: LaneState }).state = to
}

export function createLane(group: string): Lane {
  return { group, waiting: [], head: 0, frozen: [], state: 'idle', failures: 0 }
}

export const hasWork = (lane: Lane): boolean => lane.frozen.length > 0 || lane.head < lane.waiting.length

/** All that it has to send. */
export const unsentOf = (lane: Lane): readonly Item[] => [
  ...lane.frozen.flatMap(({ items }) => items),
  ...lane.waiting.slice(lane.head),
]

/** When (ms) the oldest that is to be sent was received. */
export const oldestOf = (lane: Lane): number | undefined =>
  (lane.frozen[0]?.items[0] ?? lane.waiting[lane.head])?.receivedMs

/** Takes the next `count` items that wait. */
export function takeWaiting(lane: Lane, count: number): Item[] {
  const items = lane.waiting.slice(lane.head, lane.head + count)
  lane.head += count
  if (lane.head === lane.waiting.length) {
    lane.waiting = []
    lane.head = 0
  } else if (lane.head > 1_000) {
    lane.waiting = lane.waiting.slice(lane.head)
    lane.head = 0
  }
  return items
}
