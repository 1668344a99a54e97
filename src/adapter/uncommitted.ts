import type { Parked } from '../protocol/index.ts'
import type { Message } from './message.ts'

/** Longer than the pauses of a queue whose commits fail. */
const KEEP_MS = 3600_000
/** Characters of message bodies for which effects are kept; a function has 128 MB and more. */
const MOST_CHARACTERS = 16_000_000

type Kept<Effect> = {
  /** What finished notifications recorded, or how they are put aside, by their key. */
  readonly finished: ReadonlyMap<string, { readonly effects: readonly Effect[]; readonly parked: Parked | undefined }>
  /** How a message is put aside that could not be read. */
  readonly parked: Parked | undefined
  readonly characters: number
  readonly untilMs: number
}

/**
 * Remembers in this process what ran for messages whose commit failed, so that their next delivery commits the recorded effects and does
 * not run handlers or park again. Another environment of the function knows nothing of it and runs everything.
 *
 * Effects are judged when they are applied (a call may have grown stale since), so that committing them late is correct.
 */
export function createUncommitted<Effect>(now: () => number) {
  const kept = new Map<string, Kept<Effect>>()
  let characters = 0
  const forget = (id: string): void => {
    characters -= kept.get(id)?.characters ?? 0
    kept.delete(id)
  }
  return {
    /** Before a batch runs: what finished in an earlier attempt is finished, with its effects. */
    restore(messages: readonly Message<Effect>[]): void {
      const found = messages.flatMap((message) => {
        const own = kept.get(message.record.messageId)
        return own === undefined || own.untilMs <= now() ? [] : [{ message, own }]
      })
      // A copy in another message of the batch is finished as well; its effects are committed once.
      const keys = new Set(found.flatMap(({ own }) => [...own.finished.keys()]))
      // A notification that a replay sends runs again.
      for (const entry of messages.flatMap((message) => message.entries))
        if (entry.replay === undefined) entry.finished ||= keys.has(entry.key)
      for (const { message, own } of found) {
        if (own.parked !== undefined) message.parked = own.parked
        for (const entry of message.entries) {
          const former = entry.remembered ? undefined : own.finished.get(entry.key)
          if (former === undefined) continue
          const { effects, parked } = former
          entry.finished = true
          entry.effects.push(...effects)
          if (parked !== undefined) entry.parked = parked
        }
      }
    },
    /** After a commit that failed. */
    keep(messages: readonly Message<Effect>[]): void {
      for (const { record, entries, parked } of messages) {
        forget(record.messageId)
        const own = entries.filter((entry) => entry.finished && !entry.remembered)
        if (own.length === 0 && parked === undefined) continue
        const finished = new Map(own.map((entry) => [entry.key, { effects: entry.effects, parked: entry.parked }]))
        const one = { finished, parked, characters: record.body.length, untilMs: now() + KEEP_MS }
        kept.set(record.messageId, one)
        characters += one.characters
      }
      for (const [id, { untilMs }] of kept) {
        if (untilMs > now() && characters <= MOST_CHARACTERS) break
        forget(id)
      }
    },
    /** After a commit that succeeded. */
    forget(messages: readonly Message<Effect>[]): void {
      for (const { record } of messages) forget(record.messageId)
    },
  }
}

export type Uncommitted<Effect> = ReturnType<typeof createUncommitted<Effect>>
