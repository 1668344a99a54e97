/** One key press may arrive from the terminal, from npm and from a launcher: so near together (ms), the same signal is one. */
const SAME_PRESS_MS = 1_000

/**
 * A signal that aborts on the first SIGINT or SIGTERM. A second one ends the process at once with 130, for the user who does
 * not want to wait. `dispose` takes the handlers off again.
 */
export function createShutdown(process: NodeJS.Process): { readonly signal: AbortSignal; dispose: () => void } {
  const controller = new AbortController()
  let last: { readonly name: NodeJS.Signals; readonly atMs: number } | undefined
  const stop = (name: NodeJS.Signals) => {
    const atMs = performance.now()
    const isCopy = last?.name === name && atMs - last.atMs < SAME_PRESS_MS
    last = { name, atMs }
    if (isCopy) return
    if (controller.signal.aborted) process.exit(130)
    controller.abort(new Error(`received ${name}`))
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  return {
    signal: controller.signal,
    dispose: () => void process.off('SIGINT', stop).off('SIGTERM', stop),
  }
}

/** Takes note of how to release a resource; released last in, first out. */
export type Release = (release: () => void | Promise<void>) => void

/**
 * Runs `body`, then releases what it named, the last first, whether it returned or threw. Every release is tried; errors of
 * releases are thrown together, after the error of the body.
 */
export async function withReleasers<T>(body: (release: Release) => Promise<T>): Promise<T> {
  const releasers: (() => void | Promise<void>)[] = []
  const errors: unknown[] = []
  let result: { value: T } | undefined
  try {
    result = { value: await body((release) => void releasers.push(release)) }
  } catch (error) {
    errors.push(error)
  }
  for (const release of releasers.toReversed()) {
    try {
      await release()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 1) throw new AggregateError(errors, 'several errors occurred; the first one is the cause')
  if (result === undefined || errors.length > 0) throw errors[0]
  return result.value
}

/** Returns the first of several errors: an AggregateError alone says nothing. */
export const firstOf = (error: unknown): unknown =>
  error instanceof AggregateError && error.errors.length > 0 ? firstOf(error.errors[0]) : error
