import { withReleasers } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { nowMs, type Published } from './load.ts'
import { cpuMs, rssMb } from './processes.ts'
import { setStage } from './stage.ts'
import type { Subject } from './subject.ts'

/** What is published, and how SQS answers. */
export type Load = {
  readonly type: Published
  /** Notifications per second. */
  readonly rate: number
  /** The longest random delay of SQS' answer; 0: it answers at once. */
  readonly delayMs: number
}

export type PubsubFigures = Report & {
  /** User and system, per notification, what it uses when idle included. */
  readonly cpuUs: number
  readonly requestsPerMillion: number
  readonly peakRssMb: number
  /** How long after the last was published the last arrived: large when it cannot keep up. */
  readonly lateMs: number
}

/** Not waited for longer than this when it cannot keep up; what has not arrived then counts as missing. */
const LATE_LIMIT_MS = 30_000

/** Published unmeasured: by then V8 has compiled what runs often, and all connections are open. A relay runs for months. */
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
