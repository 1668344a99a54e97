import type { Item } from '../item.ts'
import type { Pack } from './pack.ts'

/**
 * An ordered stream inside a route. At most one pack of it is in flight; what comes meanwhile waits and makes the next pack.
 */
export type Lane = {
  /** Its number as text: the SQS message group. */
  readonly group: string
  waiting: Item[]
  /** Where in `waiting` the next pack begins: a queue without moving its items. */
  head: number
  /** Packs to be sent before anything that waits: one that is retried, or the parts of one that was refused. */
  frozen: Pack[]
  /** `idle`: nothing to send. `ready`: in the sender's queue. `busy`: a pack is in flight, made, or waiting for its retry. */
  state: 'idle' | 'ready' | 'busy'
  /** Tries in a row that failed. */
  failures: number
}

export function createLanes(count: number): Lane[] {
  return Array.from({ length: count }, (_, index) => ({
    group: String(index),
    waiting: [],
    head: 0,
    frozen: [],
    state: 'idle',
    failures: 0,
  }))
}

export const hasWork = (lane: Lane): boolean => lane.frozen.length > 0 || lane.head < lane.waiting.length

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
