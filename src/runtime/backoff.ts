/** Exponential back-off with full jitter. Source: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/ */
export type BackoffOptions = {
  /** The upper bound of the first wait, ms. Default 100. */
  readonly baseMs?: number
  /** The upper bound of any wait, ms. Default 2,000: what is mended goes on within two seconds. */
  readonly maxMs?: number
  /** A number in [0, 1). Default `Math.random`. */
  readonly random?: () => number
}

/** How long (ms) to wait before the try after `failures` failures (1, 2, 3 …): a random part of the bound, at least 10 ms. */
export function backoffMs(failures: number, options: BackoffOptions = {}): number {
  const { baseMs = 100, maxMs = 2_000, random = Math.random } = options
  const bound = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30))
  return Math.max(10, random() * bound)
}
