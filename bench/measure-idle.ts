import { sleep, withReleasers } from '../src/runtime/index.ts'
import { cpuMs, rssMb } from './processes.ts'
import { setStage } from './stage.ts'
import type { Subject } from './subject.ts'

export type IdleFigures = {
  /** Per cent of one core. */
  readonly cpuPercent: number
  /** Resident memory at the end. */
  readonly rssMb: number
}

/** The wait until a program is idle. After its start it still opens connections and compiles, and V8 collects the garbage some ten seconds later. */
const SETTLE_MS = 15_000

/** Measures the CPU and memory of an idle subject. */
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
