import { toOrder, type Entry, type Message } from './message.ts'

/** A batch, sorted out. */
export type Sorted<Effect> = {
  /** What has to run, each stream in order: one reference of one type and sub_type, over all messages of the batch. */
  readonly streams: readonly (readonly Entry<Effect>[])[]
  /** Second and later appearances of a notification, each with its first. */
  readonly copies: readonly { readonly copy: Entry<Effect>; readonly first: Entry<Effect> }[]
}

/** Sorts the unfinished notifications of a batch into streams, in the order in which they were delivered. */
export function toStreams<Effect>(messages: readonly Message<Effect>[]): Sorted<Effect> {
  const streams = new Map<string, Entry<Effect>[]>()
  const firsts = new Map<string, Entry<Effect>>()
  const copies: { copy: Entry<Effect>; first: Entry<Effect> }[] = []
  for (const entry of messages.flatMap((message) => message.entries)) {
    if (entry.finished) continue
    // A notification that a replay sends runs also beside a copy of it.
    const same = `${entry.replay?.job ?? ''} ${entry.key}`
    const first = firsts.get(same)
    if (first !== undefined) {
      copies.push({ copy: entry, first })
      continue
    }
    firsts.set(same, entry)
    const order = toOrder(entry)
    const stream = streams.get(order)
    if (stream === undefined) streams.set(order, [entry])
    else stream.push(entry)
  }
  return { streams: [...streams.values()], copies }
}

/** Copies share the outcome of the one that ran. */
export function settleCopies(copies: Sorted<unknown>['copies']): void {
  for (const { copy, first } of copies) {
    // The first one comes again with its own message; on its last attempt the copy need not, and must not be parked beside it.
    copy.finished = first.finished || (copy.lastAttempt && !first.lastAttempt)
  }
}

/** Runs all, `limit` at once, each to its end. The tasks must not reject. */
export async function runParallel(tasks: readonly (() => Promise<void>)[], limit: number): Promise<void> {
  const waiting = tasks.values()
  const work = async () => {
    for (const task of waiting) await task()
  }
  await Promise.all(Array.from({ length: Math.min(Math.max(1, limit), tasks.length) }, work))
}
