import { withReleasers } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { nowMs, type Published } from './load.ts'
import { cpuMs, rssMb } from './processes.ts'
import { setStage } from './stage.ts'
import type { Subject } from './subject.ts'

/** The notifications to publish, and the delay of SQS. */
export type Load = {
  readonly type: Published
  /** Notifications per second. */
  readonly rate: number
  /** The maximum random delay of an SQS response. 0: SQS answers at once. */
  readonly delayMs: number
}

export type PubsubFigures = Report & {
  /** User and system time per notification, including the cost of an idle process. */
  readonly cpuUs: number
  readonly requestsPerMillion: number
  readonly peakRssMb: number
  /** The time from the last publication to the last arrival. It is large if the subject cannot keep up. */
  readonly lateMs: number
}

/** The longest wait for late notifications. Those that have not arrived by then count as missing. */
const LATE_LIMIT_MS = 30_000

/** The minimum load before the measurement, until V8 has compiled hot code and all connections are open. A relay runs for months. */
const WARM_UP = { rate: 500, count: 3_000 }

/** Measures how long notifications take from PUBLISH to SQS at a steady rate. */
export function measurePubsub(
  subject: Subject,
  { type, rate, delayMs }: Load,
  seconds: number,
  signal: AbortSignal,
): Promise<PubsubFigures> {
  return withReleasers(async (release) => {
    const { sqs, start, publish } = await setStage(release, signal, delayMs)
    const running = await start(subject, 'pubsub')

    const warmUp = Math.max(rate, WARM_UP.count)
    await publish(type, Math.max(rate, WARM_UP.rate), warmUp)
    await sqs.quiet(LATE_LIMIT_MS, signal)
    await sqs.report(warmUp)

    const cpuBefore = cpuMs(running)
    const count = rate * seconds
    await publish(type, rate, count)
    const publishedMs = nowMs()
    await sqs.quiet(LATE_LIMIT_MS, signal)
    const cpu = cpuMs(running) - cpuBefore
    const peakRssMb = rssMb(running, 'VmHWM')
    const report = await sqs.report(count)
    return {
      ...report,
      peakRssMb,
      lateMs: Math.max(0, report.lastMs - publishedMs),
      cpuUs: (cpu * 1000) / count,
      requestsPerMillion: (report.requests / report.notifications) * 1e6,
    }
  })
}
