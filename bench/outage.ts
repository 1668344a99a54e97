import { once } from 'node:events'
import { createClient } from 'redis'
import { startRedisServer } from '../src/local/redis-server.ts'
import { sleep, withReleasers } from '../src/runtime/index.ts'
import type { Report } from './arrivals.ts'
import { nowMs } from './clock.ts'
import { toCdr } from './packets.ts'
import { peakRssMb, startNode } from './processes.ts'
import { startStandIn } from './stand-in.ts'
import { LIST, startSubject } from './subject.ts'

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
const PUSH_AT_ONCE = 1_000
const LIMIT_MS = 120_000
/** What comes back from the journal pauses now and then, on a busy machine. */
const QUIET_MS = 3_000

/**
 * What an outage of SQS costs: for so many seconds it answers 503, while PubSub goes on at this rate and a list is full of CDRs.
 * PubSub fills its share of memory and then the journal, the list its own share: the most that the relay ever keeps.
 */
export function measureOutage(seconds: number, rate: number, signal: AbortSignal): Promise<OutageResult> {
  return withReleasers(async (release) => {
    const redis = await startRedisServer()
    release(redis.stop)
    const sqs = await startStandIn(0)
    release(sqs.stop)
    const client = await createClient({ url: redis.url, RESP: 2 }).connect()
    release(() => client.destroy())
    const running = await startSubject('relay', 'both', redis.url, sqs.endpoint)
    release(running.stop)

    await sqs.outage(true)
    for (let from = 0; from < CDRS; from += PUSH_AT_ONCE) await client.lPush(LIST, Array.from({ length: PUSH_AT_ONCE }, (_, index) => toCdr(from + index)))
    const count = rate * seconds
    const publisher = startNode('./publisher.ts', [], { REDIS_URL: redis.url, RATE: String(rate), COUNT: String(count) })
    release(publisher.stop)
    const [code] = (await once(publisher.child, 'exit', { signal })) as [number | null]
    if (code !== 0) throw new Error(`the publisher failed (${code})`)

    await sqs.outage(false)
    const endedMs = nowMs()
    const until = performance.now() + LIMIT_MS
    while ((await client.lLen(LIST)) > 0 && performance.now() < until) {
      await sleep(50, signal)
      signal.throwIfAborted()
    }
    await sqs.quiet(LIMIT_MS, signal, QUIET_MS)
    const peak = peakRssMb(running)
    const report = await sqs.report(count + CDRS)
    return { seconds, rate, cdrs: CDRS, report, peakRssMb: peak, recoveryMs: report.firstMs - endedMs, caughtUpMs: report.lastMs - endedMs }
  })
}
