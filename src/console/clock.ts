import { batch, effect, type ReadonlySignal, signal, type Signal } from '@preact/signals'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'

/* Provides the time of the API, because the clocks of wall displays are often wrong, and spreads work over frames. */

/** The time of the API in Unix ms. It changes once a second. */
export const now = signal(Date.now())

let offsetMs = 0

/** Sets the clock to a time (ISO 8601) that the API has just returned. */
export function setClock(iso: string): void {
  const apiMs = Date.parse(iso)
  if (!Number.isNaN(apiMs)) offsetMs = apiMs - Date.now()
}

/** Updates `now` once a second while the page is visible. */
export function runClock(): void {
  const tick = () => {
    if (!document.hidden) now.value = Date.now() + offsetMs
  }
  setInterval(tick, 1_000)
  document.addEventListener('visibilitychange', tick)
}

/** Updates hundreds of texts each second, a few in each frame. */
export type Ticker = {
  /** Calls `tick` each second. Returns a function that stops it. */
  readonly add: (tick: () => void) => () => void
  readonly dispose: () => void
}

/** Texts that are updated in one frame: their layout takes a few milliseconds. */
const MAX_TICKS_PER_FRAME = 25

export function createTicker(nowMs: ReadonlySignal<number>): Ticker {
  const ticks = new Set<() => void>()
  let waiting: (() => void)[] = []
  const frames = createFrameTask(() => {
    for (const tick of waiting.splice(0, MAX_TICKS_PER_FRAME)) if (ticks.has(tick)) tick()
    return waiting.length > 0
  })
  const stop = effect(() => {
    void nowMs.value
    waiting = [...ticks]
    frames.request()
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

/** Calls `tick` when the component is rendered and each second after. `tick` may use `writeText`, because hundreds of texts change. */
export function useTick(ticker: Ticker, tick: () => void): void {
  useLayoutEffect(tick)
  const latest = useRef(tick)
  latest.current = tick
  useEffect(() => ticker.add(() => latest.current()), [ticker])
}

/** Writes a text to the element directly, without a render by Preact. */
export function writeText(element: HTMLElement | null, text: string): void {
  if (element === null) return
  const { firstChild } = element
  if (firstChild instanceof Text) {
    if (firstChild.data !== text) firstChild.data = text
  } else element.textContent = text
}

/** Sets many signals over several frames, so that no task blocks the page. */
export type FrameWriter = {
  /** Sets a signal in one of the next frames. A value that was waiting for the same signal is replaced. */
  readonly set: <T>(target: Signal<T>, value: T) => void
  /** Drops the value that waits for a signal. */
  readonly cancel: (target: Signal) => void
  readonly dispose: () => void
}

/** @param perFrame how many signals are set in one frame */
export function createFrameWriter(perFrame: number): FrameWriter {
  const waiting = new Map<Signal, () => void>()
  const frames = createFrameTask(() => {
    for (const [target, set] of [...waiting].slice(0, perFrame)) {
      waiting.delete(target)
      set()
    }
    return waiting.size > 0
  })
  return {
    set: (target, value) => {
      waiting.set(target as Signal, () => void (target.value = value))
      frames.request()
    },
    cancel: (target) => void waiting.delete(target),
    dispose: frames.dispose,
  }
}

const pendingWork = new Set<() => boolean>()
let frame = 0

/** Runs one piece of work in each frame, in turn. */
function runFrame(): void {
  const [work] = pendingWork
  if (work === undefined) return void (frame = 0)
  pendingWork.delete(work)
  if (batch(work)) pendingWork.add(work)
  frame = requestAnimationFrame(runFrame)
}

/** Runs `work` in one of the next frames once `request` is called, and again for as long as it returns true. */
function createFrameTask(work: () => boolean) {
  return {
    request: () => {
      pendingWork.add(work)
      if (frame === 0) frame = requestAnimationFrame(runFrame)
    },
    dispose: () => void pendingWork.delete(work),
  }
}
