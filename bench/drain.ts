import { createClient } from 'redis'
import { startRedisServer } from '../src/local/redis-server.ts'
import { sleep, withReleasers } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { toCdr } from './packets.ts'
import { cpuMs, peakRssMb } from './processes.ts'
import { startStandIn } from './stand-in.ts'
import { LIST, startSubject, type Subject } from './subject.ts'

export type DrainResult = {
  readonly subject: Subject
  readonly count: number
  /** From the first arrival to the last. */
  readonly perSecond: number
  /** User and system, per notification; what the process used to start is not counted. */
  readonly cpuUs: number
  readonly requestsPerNotification: number
  readonly peakRssMb: number
  readonly report: Report
}

const PUSH_AT_ONCE = 1_000
const LIMIT_MS = 180_000

/**
 * How fast a full list is emptied into SQS that answers at once. The list is filled under another name and renamed when the
 * subject waits for it, so that neither filling nor starting is measured.
 */
export function measureDrain(subject: Subject, count: number, signal: AbortSignal): Promise<DrainResult> {
  return withReleasers(async (release) => {
    const redis = await startRedisServer()
    release(redis.stop)
    const sqs = await startStandIn(0)
    release(sqs.stop)
    const client = await createClient({ url: redis.url, RESP: 2 }).connect()
    release(() => client.destroy())
    for (let from = 0; from < count; from += PUSH_AT_ONCE) {
      await client.lPush('bench:full', Array.from({ length: Math.min(PUSH_AT_ONCE, count - from) }, (_, index) => toCdr(from + index)))
      signal.throwIfAborted()
    }
    const running = await startSubject(subject, 'list', redis.url, sqs.endpoint)
    release(running.stop)

    const cpuBefore = cpuMs(running)
    const until = performance.now() + LIMIT_MS
    await client.rename('bench:full', LIST)
    while ((await client.lLen(LIST)) > 0 && performance.now() < until) {
      await sleep(50, signal)
      signal.throwIfAborted()
    }
    await sqs.quiet(LIMIT_MS, signal)
    const cpu = cpuMs(running) - cpuBefore
    const peak = peakRssMb(running)
    const report = await sqs.report(count)
    return {
      subject, count, report, peakRssMb: peak,
      perSecond: (report.notifications / (report.lastMs - report.firstMs)) * 1000,
      cpuUs: (cpu * 1000) / count,
      requestsPerNotification: report.requests / report.notifications,
    }
  })
}
