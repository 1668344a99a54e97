import { once } from 'node:events'
import { startRedisServer } from '../src/local/redis-server.ts'
import { cpuMs, firstLine, peakRssMb, sleep, startNode, startRelay, startStandIn, type Running } from './processes.ts'
import type { Report } from './sqs-stand-in.ts'

export type PubsubResult = {
  readonly what: string
  readonly rate: number
  readonly delayMs: number
  readonly count: number
  readonly cpuUs: number
  readonly requestsPerMillion: number
  readonly peakRssMb: number
  readonly report: Report
}

/** How long a notification takes from PUBLISH to SQS, at a steady rate of agents/status of 200 agents. */
export async function measurePubsub(what: 'relay' | 'baseline', rate: number, delayMs: number, seconds: number): Promise<PubsubResult> {
  const redis = await startRedisServer()
  const sqs = await startStandIn(delayMs)
  let running: Running | undefined
  try {
    if (what === 'relay') {
      const relay = await startRelay(redis.url, sqs.endpoint, 'none')
      running = relay
      while (!(await fetch(`${relay.address}/readyz`)).ok) await sleep(50)
    } else {
      running = startNode('./baseline.ts', [], { REDIS_URL: redis.url, MODE: 'pubsub', AWS_ENDPOINT_URL_SQS: sqs.endpoint })
      await firstLine(running, /ready/)
    }
    // Half a second unmeasured, so that no code is run for the first time.
    await publish(redis.url, rate, 0.5)
    await sleep(1_000)
    await sqs.report(0)
    const before = cpuMs(running)
    const count = await publish(redis.url, rate, seconds)
    await sleep(1_500)
    const cpu = cpuMs(running) - before
    const report = await sqs.report(count)
    return {
      what, rate, delayMs, count, report, peakRssMb: peakRssMb(running),
      cpuUs: (cpu * 1000) / count,
      requestsPerMillion: (report.requests / report.notifications) * 1e6,
    }
  } finally {
    await running?.stop()
    await sqs.stop()
    await redis.stop()
  }
}

async function publish(redisUrl: string, rate: number, seconds: number): Promise<number> {
  const { child } = startNode('./publisher.ts', [], { REDIS_URL: redisUrl, RATE: String(rate), SECONDS: String(seconds) })
  child.stdout?.resume()
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error('the publisher failed')
  return rate * seconds
}
