import { backoffMs } from '../../runtime/index.ts'

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

/** The longest rest (ms) of a route whose target is away: a screen pop waits at most so long for a target that is back. */
const MAX_REST_MS = 500

/**
 * Delays the requests of one route, so that each carries more notifications: SQS and other services bill requests, and requests take most of the CPU
 * time. The requests of a busy route are spaced. A route that may linger lets its first notification wait for others; any other route that is not busy
 * sends each notification at once. While the target is away, the route rests between requests, longer each time: its lanes would retry in turn,
 * hundreds of times a second.
 */
export function createPacing({ paceMs, lingerMs, onDue, clock = () => performance.now() }: PacingOptions) {
  let spanStart = clock()
  let count = 0
  let isBusy = false
  let lastLeft = Number.NEGATIVE_INFINITY
  let restUntil = Number.NEGATIVE_INFINITY
  let rests = 0
  let timer: NodeJS.Timeout | undefined
  const restNow = () => {
    restUntil = clock() + backoffMs(++rests, { maxMs: MAX_REST_MS })
  }
  const wakeAfter = (waitMs: number) => {
    timer ??= setTimeout(() => {
      timer = undefined
      onDue()
    }, waitMs)
  }
  return {
    came(): void {
      if (paceMs === 0) return
      count++
      const spanMs = clock() - spanStart
      if (spanMs < SPAN_MS) return
      isBusy = (count * 1_000) / spanMs > BUSY_PER_SECOND
      spanStart += spanMs
      count = 0
    },
    left(): void {
      lastLeft = clock()
      // While the target is away, one request leaves after each rest, even if an earlier one is never answered.
      if (rests > 0) restNow()
    },
    /** Whether the next request is to be held back now. @param waitedMs how long the oldest of its notifications has waited */
    holdsBack(waitedMs: number): boolean {
      const waitMs = Math.max(isBusy ? lastLeft + paceMs - clock() : 0, Math.min(lingerMs, lingerMs - waitedMs))
      if (waitMs <= 0) return false
      wakeAfter(waitMs)
      return true
    },
    /** The target is away: from now on the route rests before each request, longer each time. */
    rest(): void {
      if (rests === 0) restNow()
    },
    /** The target has answered: what waited for it may leave. */
    endRest(): void {
      if (rests === 0) return
      rests = 0
      restUntil = Number.NEGATIVE_INFINITY
      clearTimeout(timer)
      timer = undefined
    },
    /** Whether nothing is to be sent now. */
    isResting(): boolean {
      const waitMs = restUntil - clock()
      if (waitMs <= 0) return false
      wakeAfter(waitMs)
      return true
    },
  }
}

export type Pacing = ReturnType<typeof createPacing>
