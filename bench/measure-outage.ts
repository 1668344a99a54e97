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
  /** From the end of the outage until all had arrived. */
  readonly caughtUpMs: number
}

const CDRS = 20_000
const LIMIT_MS = 120_000
/** What comes back from the journal pauses now and then, on a busy machine. */
const QUIET_MS = 3_000

/**
 * Measures an outage of SQS: for so many seconds it answers 503, while Pub/Sub goes on at this rate and a list is full of CDRs.
 * Pub/Sub fills its share of memory and then the journal, the list its own share: the most that the relay ever keeps.
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
