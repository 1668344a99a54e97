import { sleep, withReleasers } from '../src/runtime/index.ts'
import { cpuMs, rssMb } from './processes.ts'
import { setStage } from './stage.ts'
import type { Subject } from './subject.ts'

export type IdleFigures = {
  /** Of one core. */
  readonly cpuPercent: number
  /** At the end. */
  readonly rssMb: number
}

/** A program that has just started is not idle: it still opens connections and compiles, and V8 collects what that left some ten seconds later. */
const SETTLE_MS = 15_000

/** Measures what a subject uses with nothing to do. */
export function measureIdle(subject: Subject, seconds: number, signal: AbortSignal): Promise<IdleFigures> {
  return withReleasers(async (release) => {
    const { start } = await setStage(release, signal)
    const running = await start(subject, subject.kind === 'relay' ? 'both' : 'pubsub')
    await sleep(Math.min(SETTLE_MS, seconds * 1000), signal)
    const from = performance.now()
    const before = cpuMs(running)
    await sleep(seconds * 1000, signal)
    signal.throwIfAborted()
    return {
      cpuPercent: ((cpuMs(running) - before) / (performance.now() - from)) * 100,
      rssMb: rssMb(running, 'VmRSS'),
    }
  })
}
