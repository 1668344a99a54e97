import { effect, type ReadonlySignal } from '@preact/signals'

/** Lets hundreds of texts tick each second, a few in each frame, so that no task is long. */
export type Ticker = {
  /** Calls `tick` each second until what it returns is called. */
  readonly add: (tick: () => void) => () => void
  readonly dispose: () => void
}

/** Ticks in one frame: the layout of their texts takes a millisecond or two. */
const AT_ONCE = 40

export function createTicker(nowMs: ReadonlySignal<number>): Ticker {
  const ticks = new Set<() => void>()
  let waiting: (() => void)[] = []
  let frame = 0
  const run = () => {
    frame = 0
    for (const tick of waiting.splice(0, AT_ONCE)) if (ticks.has(tick)) tick()
    if (waiting.length > 0) frame = requestAnimationFrame(run)
  }
  const stop = effect(() => {
    void nowMs.value
    waiting = [...ticks]
    if (frame === 0 && waiting.length > 0) frame = requestAnimationFrame(run)
  })
  return {
    add: (tick) => {
      ticks.add(tick)
      return () => void ticks.delete(tick)
    },
    dispose: () => {
      stop()
      cancelAnimationFrame(frame)
    },
  }
}
