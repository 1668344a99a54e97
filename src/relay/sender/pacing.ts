/**
 * Holds requests back, so that each carries more: requests are what SQS bills, and what most of the CPU goes to. The requests of a busy route are
 * spaced. A route that may linger lets its first notification wait for company; any other that is not busy sends each at once.
 */

export type PacingOptions = {
  /** Least time (ms) between two requests while the route is busy; 0: none. */
  readonly paceMs: number
  /** How long (ms) a notification may wait for company; 0: not at all. */
  readonly lingerMs: number
  /** Called when a request that was held back may leave. */
  readonly onDue: () => void
  /** Monotonic, ms. Default: `performance.now`. */
  readonly clock?: () => number
}

/** Notifications per second beyond which a route is busy. */
const BUSY_PER_SECOND = 1_000

/** They are counted in spans of this length (ms); the last whole one tells. Longer: a load that begins is sent one by one for as long. */
const SPAN_MS = 20

export function createPacing({ paceMs, lingerMs, onDue, clock = () => performance.now() }: PacingOptions) {
  let spanStart = clock()
  let count = 0
  let isBusy = false
  let lastLeft = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  return {
    /** A notification came. */
    came(): void {
      if (paceMs === 0) return
      count++
      const spanMs = clock() - spanStart
      if (spanMs < SPAN_MS) return
      isBusy = (count * 1_000) / spanMs > BUSY_PER_SECOND
      spanStart += spanMs
      count = 0
    },
    /** A request left. */
    left(): void {
      lastLeft = clock()
    },
    /** Whether the next request is to be held back now. @param waitedMs how long the oldest of its notifications has waited */
    holdsBack(waitedMs: number): boolean {
      const waitMs = Math.max(isBusy ? lastLeft + paceMs - clock() : 0, Math.min(lingerMs, lingerMs - waitedMs))
      if (waitMs <= 0) return false
      timer ??= setTimeout(() => {
        timer = undefined
        onDue()
      }, waitMs)
      return true
    },
  }
}
