/**
 * Spaces the requests of a busy route, so that each carries more: requests are what SQS bills, and what most of the CPU goes to. A route
 * with few notifications is not busy, and each of them leaves at once.
 */

export type PacingOptions = {
  /** Least time (ms) between two requests while the route is busy; 0: none. */
  readonly paceMs: number
  /** Called when a request that was held back may leave. */
  readonly onDue: () => void
  /** Monotonic, ms. Default: `performance.now`. */
  readonly clock?: () => number
}

/** Notifications per second beyond which a route is busy. */
const BUSY_PER_SECOND = 1_000

/** They are counted in spans of this length (ms); the last whole one tells. Longer: a load that begins is sent one by one for as long. */
const SPAN_MS = 20

export function createPacing({ paceMs, onDue, clock = () => performance.now() }: PacingOptions) {
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
    /** Whether the next request is to be held back now. */
    holdsBack(): boolean {
      const waitMs = isBusy ? lastLeft + paceMs - clock() : 0
      if (waitMs <= 0) return false
      timer ??= setTimeout(() => {
        timer = undefined
        onDue()
      }, waitMs)
      return true
    },
  }
}
