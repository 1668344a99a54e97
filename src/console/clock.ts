import { batch, effect, type ReadonlySignal, signal, type Signal } from '@preact/signals'

/** The API's time, since the clocks of screens are wrong. */

/** Unix ms, to the second. */
export const now = signal(Date.now())

let offsetMs = 0

/** Takes a time that the API has just answered. */
export function setClock(iso: string): void {
  const apiMs = Date.parse(iso)
  if (!Number.isNaN(apiMs)) offsetMs = apiMs - Date.now()
}

/** Lets `now` go on while the page is visible. */
export function runClock(): void {
  const tick = () => {
    if (!document.hidden) now.value = Date.now() + offsetMs
  }
  setInterval(tick, 1_000)
  document.addEventListener('visibilitychange', tick)
}

/** Spreads what changes at once on a wall over several frames, so that no task is long. */

/** Lets hundreds of texts tick each second. */
export type Ticker = {
  /** Calls `tick` each second until what it returns is called. */
  readonly add: (tick: () => void) => () => void
  readonly dispose: () => void
}

/** Ticks in one frame: the layout of their texts takes a few milliseconds. */
const TICKS = 40

export function createTicker(nowMs: ReadonlySignal<number>): Ticker {
  const ticks = new Set<() => void>()
  let waiting: (() => void)[] = []
  const frames = createFrames(() => {
    for (const tick of waiting.splice(0, TICKS)) if (ticks.has(tick)) tick()
    return waiting.length > 0
  })
  const stop = effect(() => {
    void nowMs.value
    waiting = [...ticks]
    frames.ask()
  })
  return {
    add: (tick) => {
      ticks.add(tick)
      return () => void ticks.delete(tick)
    },
    dispose: () => {
      stop()
      frames.dispose()
    },
  }
}

/** Sets many signals. */
export type Spread = {
  /** Sets a signal in one of the next frames; what it was to be before is forgotten. */
  readonly set: <T>(signal: Signal<T>, value: T) => void
  /** Leaves a signal as it is. */
  readonly cancel: (signal: Signal) => void
  readonly dispose: () => void
}

/** @param inFrame how many signals are set in one frame */
export function createSpread(inFrame: number): Spread {
  const waiting = new Map<Signal, () => void>()
  const frames = createFrames(() => {
    for (const [signal, set] of [...waiting].slice(0, inFrame)) {
      waiting.delete(signal)
      set()
    }
    return waiting.size > 0
  })
  return {
    set: (signal, value) => {
      waiting.set(signal as Signal, () => void (signal.value = value))
      frames.ask()
    },
    cancel: (signal) => void waiting.delete(signal),
    dispose: frames.dispose,
  }
}

const asked = new Set<() => boolean>()
let frame = 0

function run(): void {
  const [work] = asked
  if (work === undefined) return void (frame = 0)
  asked.delete(work)
  if (batch(work)) asked.add(work)
  frame = requestAnimationFrame(run)
}

/** Runs `work` in one of the next frames, and again for as long as it returns true: in each frame one of those that were asked for. */
function createFrames(work: () => boolean) {
  return {
    ask: () => {
      asked.add(work)
      if (frame === 0) frame = requestAnimationFrame(run)
    },
    dispose: () => void asked.delete(work),
  }
}
