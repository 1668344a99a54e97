import { withReleasers } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { nowMs } from './load.ts'
import { rssMb } from './processes.ts'
import { setStage } from './stage.ts'
import { LIST, type Subject } from './subject.ts'

export type OutageFigures = Report & {
  readonly seconds: number
  readonly rate: number
  readonly cdrs: number
  readonly peakRssMb: number
  /** From the end of the outage to the first arrival. */
  readonly recoveryMs: number
  /** From the end of the outage to the last arrival. */
  readonly caughtUpMs: number
}

const CDRS = 20_000
const LIMIT_MS = 120_000
/** On a busy machine, the relay pauses at times while it sends notifications from its journal. */
const QUIET_MS = 3_000

/**
 * Measures an outage: SQS answers 503 for `seconds`, while Pub/Sub continues at `rate` and a list is full of CDRs. Pub/Sub fills its
 * share of memory and then the journal; the list fills its own share. The relay never holds more than that.
 */
export function measureOutage(
  relay: Subject,
  seconds: number,
  rate: number,
  signal: AbortSignal,
): Promise<OutageFigures> {
  return withReleasers(async (release) => {
    const { sqs, start, fill, emptied, publish } = await setStage(release, signal)
    const running = await start(relay, 'both')

    await sqs.outage(true)
    await fill(LIST, CDRS)
    const count = rate * seconds
    await publish('status', rate, count)

    await sqs.outage(false)
    const endedMs = nowMs()
    await emptied(LIST, LIMIT_MS)
    await sqs.quiet(LIMIT_MS, signal, QUIET_MS)
    const peakRssMb = rssMb(running, 'VmHWM')
    const report = await sqs.report(count + CDRS)
    return {
      ...report,
      seconds,
      rate,
      cdrs: CDRS,
      peakRssMb,
      recoveryMs: Math.max(0, report.firstMs - endedMs),
      caughtUpMs: report.lastMs - endedMs,
    }
  })
}
