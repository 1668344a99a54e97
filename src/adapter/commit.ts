import type { Failed } from '../protocol/index.ts'
import { isFinished, type Message } from './message.ts'
import type { Commit } from './options.ts'

/** Collects the commit of a batch, once its handlers ran. */
export function toCommit<Effect>(messages: readonly Message<Effect>[]): Commit<Effect> {
  const entries = messages.flatMap((message) => message.entries)
  return {
    effects: entries.flatMap((entry) => entry.effects),
    done: toRemember(messages),
    parked: [...messages, ...entries].flatMap(({ parked }) => parked ?? []),
    failed: messages.flatMap(toFailed),
    replayed: messages.filter(isFinished).flatMap(({ record, replay, parked, entries: own }) => {
      const hasFailed = parked !== undefined || own.some((entry) => entry.parked !== undefined)
      return replay === undefined ? [] : [{ ...replay, hasFailed, messageId: record.messageId }]
    }),
  }
}

export const isEmpty = ({ effects, done, parked, failed, replayed }: Commit<unknown>): boolean =>
  effects.length + done.size + parked.length + failed.length + replayed.length === 0

/** What to remember: all finished notifications of each message that will come again and has got further than before. */
function toRemember(messages: readonly Message<unknown>[]): Map<string, string[]> {
  const done = new Map<string, string[]>()
  for (const message of messages) {
    const finished = message.entries.filter((entry) => entry.finished)
    if (isFinished(message) || finished.every((entry) => entry.remembered)) continue
    done.set(
      message.record.messageId,
      finished.map((entry) => entry.key),
    )
  }
  return done
}

function toFailed({ record, attempt, entries }: Message<unknown>): Failed[] {
  const failed = entries.filter((entry) => entry.failure !== undefined)
  return [...Map.groupBy(failed, ({ failure }) => `${failure?.status} ${failure?.reason}`).values()].flatMap((own) => {
    const [first] = own
    if (first?.failure === undefined) return []
    return [{ messageId: record.messageId, attempt, ...first.failure, keys: own.map(({ key }) => key) }]
  })
}
