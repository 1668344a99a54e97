import type { Release } from '../../runtime/index.ts'

/** What runs in the background of the street. */
export type Crew = {
  /** Starts it. It is stopped in its turn, the last one first, and awaited. */
  add: (run: (signal: AbortSignal) => Promise<void>) => void
  /** Rejects when one of them fails; never resolves. */
  readonly failed: Promise<never>
}

export function createCrew(release: Release): Crew {
  const failure = Promise.withResolvers<never>()
  // Whoever does not listen any more has heard why it ended.
  failure.promise.catch(() => undefined)
  return {
    failed: failure.promise,
    add: (run) => {
      const end = new AbortController()
      const running = run(end.signal)
      running.catch(failure.reject)
      release(async () => {
        end.abort()
        // Its error has been told by `failed`.
        await running.catch(() => undefined)
      })
    },
  }
}
