export type PaceOptions = {
  /** Virtual ms per real ms. */
  readonly speed: number
  /** A clock (ms) that only goes forward. */
  readonly now: () => number
}

/** Where virtual time is. */
export type Pace = {
  /** Moves virtual time (ms) on to where it should be by now, and returns it. To be called at least every `LOOK_MS`. */
  look: () => number
  /** How long (real ms) until an instant of virtual time; 0 or less when it has come. */
  waitMs: (atMs: number) => number
}

/** How often to look at the clock, ms. */
export const LOOK_MS = 50
/** Time that went by without a look (a stall) is caught up with at this multiple of the speed, not in one burst. */
const CATCH_UP = 3

export function createPace({ speed, now }: PaceOptions): Pace {
  const startedAt = now()
  let lastLook = startedAt
  let virtualMs = 0
  return {
    look: () => {
      const at = now()
      const step = Math.min(at - lastLook, LOOK_MS) * speed * CATCH_UP
      lastLook = at
      virtualMs = Math.min((at - startedAt) * speed, virtualMs + step)
      return virtualMs
    },
    waitMs: (atMs) => (atMs - virtualMs) / speed,
  }
}
