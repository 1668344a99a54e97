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
  if (result === undefined) throw errors[0]
  if (errors.length === 1) throw errors[0]
  return result.value
}
