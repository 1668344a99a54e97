import { withReleasers } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { nowMs } from './clock.ts'
import { peakRssMb } from './processes.ts'
import { setStage } from './stage.ts'
import { LIST } from './subject.ts'

export type OutageResult = {
  readonly seconds: number
  readonly rate: number
  readonly cdrs: number
  readonly peakRssMb: number
  /** From the end of the outage to the first arrival. */
  readonly recoveryMs: number
  /** From the end of the outage until all had arrived. */
  readonly caughtUpMs: number
  readonly report: Report
}

const CDRS = 20_000
const LIMIT_MS = 120_000
/** What comes back from the journal pauses now and then, on a busy machine. */
const QUIET_MS = 3_000

/**
 * What an outage of SQS costs: for so many seconds it answers 503, while PubSub goes on at this rate and a list is full of CDRs.
 * PubSub fills its share of memory and then the journal, the list its own share: the most that the relay ever keeps.
 */
export function measureOutage(seconds: number, rate: number, signal: AbortSignal): Promise<OutageResult> {
  return withReleasers(async (release) => {
    const { sqs, start, fill, emptied, publish } = await setStage(release, signal)
    const running = await start('relay', 'both')

    await sqs.outage(true)
    await fill(LIST, CDRS)
    const count = rate * seconds
    await publish(rate, count)

    await sqs.outage(false)
    const endedMs = nowMs()
    await emptied(LIST, LIMIT_MS)
    await sqs.quiet(LIMIT_MS, signal, QUIET_MS)
    const peak = peakRssMb(running)
    const report = await sqs.report(count + CDRS)
    return {
      seconds,
      rate,
      cdrs: CDRS,
      report,
      peakRssMb: peak,
      recoveryMs: report.firstMs - endedMs,
      caughtUpMs: report.lastMs - endedMs,
    }
  })
}
