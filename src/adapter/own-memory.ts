import type { FromSqsOptions } from './options.ts'

/** Longer than a queue with ten attempts goes on retrying (eight and a half minutes). */
const KEEP_MS = 3600_000
const MAX_MESSAGES = 10_000

/**
 * What is finished, for an app that gives no `recall`: kept in this process for an hour. Another environment of the function knows
 * nothing of it, and then runs what was finished once more, with the same ids.
 */
export function createOwnMemory(now: () => number) {
  const kept = new Map<string, { readonly ids: ReadonlySet<string>; readonly untilMs: number }>()
  return {
    remember(done: ReadonlyMap<string, readonly string[]>): void {
      for (const [message, ids] of done) {
        // Behind all others, which are then in the order of their ends.
        kept.delete(message)
        kept.set(message, { ids: new Set(ids), untilMs: now() + KEEP_MS })
      }
      for (const [message, { untilMs }] of kept) {
        if (untilMs > now() && kept.size <= MAX_MESSAGES) break
        kept.delete(message)
      }
    },
    recall: ((messageIds) => {
      const found = messageIds.map((id) => [id, kept.get(id)] as const)
      return Promise.resolve(
        new Map(
          found.map(([id, entry]) => [
            id,
            entry !== undefined && entry.untilMs > now() ? entry.ids : new Set<string>(),
          ]),
        ),
      )
    }) satisfies FromSqsOptions<unknown>['recall'],
  }
}
