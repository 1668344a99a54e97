import { withReleasers } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { nowMs } from './clock.ts'
import { cpuMs, peakRssMb } from './processes.ts'
import { setStage } from './stage.ts'
import type { Subject } from './subject.ts'

export type PubsubResult = {
  readonly subject: Subject
  readonly rate: number
  readonly delayMs: number
  /** User and system, per notification, what it uses when idle included. */
  readonly cpuUs: number
  readonly requestsPerMillion: number
  readonly peakRssMb: number
  /** How long after the last was published the last arrived: large when it cannot keep up. */
  readonly lateMs: number
  readonly report: Report
}

/** Not waited for longer than this when it cannot keep up; what has not arrived then counts as missing. */
const LATE_LIMIT_MS = 30_000

/** How long notifications take from PUBLISH to SQS, at a steady rate. @param delayMs the longest random delay of SQS' answer */
export function measurePubsub(
  subject: Subject,
  rate: number,
  delayMs: number,
  seconds: number,
  signal: AbortSignal,
): Promise<PubsubResult> {
  return withReleasers(async (release) => {
    const { sqs, start, publish } = await setStage(release, signal, delayMs)
    const running = await start(subject, 'pubsub')

    // A second unmeasured, so that no code runs for the first time and all connections are open.
    await publish(rate, rate)
    await sqs.quiet(LATE_LIMIT_MS, signal)
    await sqs.report(rate)

    const cpuBefore = cpuMs(running)
    const count = rate * seconds
    await publish(rate, count)
    const publishedMs = nowMs()
    await sqs.quiet(LATE_LIMIT_MS, signal)
    const cpu = cpuMs(running) - cpuBefore
    const peak = peakRssMb(running)
    const report = await sqs.report(count)
    return {
      subject,
      rate,
      delayMs,
      report,
      peakRssMb: peak,
      lateMs: Math.max(0, report.lastMs - publishedMs),
      cpuUs: (cpu * 1000) / count,
      requestsPerMillion: (report.requests / report.notifications) * 1e6,
    }
  })
}
