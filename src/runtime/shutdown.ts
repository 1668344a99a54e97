/** One key press may send a signal from the terminal, from npm and from a launcher. The same signal within this time (ms) counts as one. */
const SAME_PRESS_MS = 1_000

/**
 * Creates a signal that aborts on the first SIGINT or SIGTERM. A second one ends the process at once with exit code 130, for the user who does not
 * want to wait. `dispose` removes the handlers.
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

/** Registers how to release a resource. Resources are released last in, first out. */
export type Release = (release: () => void | Promise<void>) => void

/**
 * Runs `body`, then releases the resources that it registered, the last one first, whether it returned or threw. Every release is tried. @throws the
 * error of the body or of a release; an AggregateError of all of them, the error of the body first, when there are several
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

/** Returns the first of several errors: the message of an AggregateError alone says nothing. */
export const firstOf = (error: unknown): unknown =>
  error instanceof AggregateError && error.errors.length > 0 ? firstOf(error.errors[0]) : error
