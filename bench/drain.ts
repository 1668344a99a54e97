import { createClient } from 'redis'
import { startRedisServer } from '../src/local/redis-server.ts'
import { cpuMs, peakRssMb, sleep, startNode, startRelay, startStandIn, type Running } from './processes.ts'
import type { Report } from './sqs-stand-in.ts'

export type DrainResult = {
  readonly what: string
  readonly count: number
  readonly perSecond: number
  readonly cpuUs: number
  readonly requestsPerNotification: number
  readonly peakRssMb: number
  readonly report: Report
}

const LIST = 'enigma:notifications:campaigns'
const TRIES = 10

/** CDRs of about 420 bytes, ten for each call: the order of those can be wrong. */
function toCdr(index: number): string {
  const call = Math.floor(index / TRIES)
  const number = `2782${String(call % 10_000_000).padStart(7, '0')}`
  const payload = {
    extension: index % 3 === 0 ? String(1000 + (call % 200)) : null, number, dial_number: `0${number.slice(2)}`, call_ref: call, contact_ref: `C${call}`,
    dialed_at: 1_764_000_000 + index, end_reason: 'hungup', end_code: 16, call_time: 33, hold_time: 2, call_dir: 'outbound',
    recording_url: `https://recordings.example.com/2026/11/23/${number}-${1_764_000_000 + index}.wav`, ref: String(call), n: index % TRIES,
  }
  return JSON.stringify({ type: 'cdr', payload: { ...payload, note: 'x'.repeat(Math.max(0, 380 - JSON.stringify(payload).length)) } })
}

/**
 * How fast a full list is emptied into SQS. The list is filled first; CPU is all that the process uses, its start included; the
 * rate is from the first arrival to the last.
 */
export async function measureDrain(what: 'relay' | 'baseline', count: number): Promise<DrainResult> {
  const redis = await startRedisServer()
  const sqs = await startStandIn(0)
  const client = await createClient({ url: redis.url, RESP: 2 }).connect()
  let running: Running | undefined
  try {
    for (let from = 0; from < count; from += 1_000) {
      await client.lPush(LIST, Array.from({ length: Math.min(1_000, count - from) }, (_, index) => toCdr(from + index)))
    }
    running = what === 'relay'
      ? await startRelay(redis.url, sqs.endpoint, LIST)
      : startNode('./baseline.ts', [], { REDIS_URL: redis.url, MODE: 'list', AWS_ENDPOINT_URL_SQS: sqs.endpoint })
    const until = performance.now() + 120_000
    while (performance.now() < until) {
      await sleep(50)
      const claims = await client.keys('enigma:relay:claim:*')
      if ((await client.lLen(LIST)) === 0 && claims.length === 0) break
    }
    if (what === 'baseline') await sleep(300)
    const cpu = cpuMs(running)
    const peak = peakRssMb(running)
    const report = await sqs.report(count)
    return {
      what, count, report, peakRssMb: peak,
      perSecond: (report.notifications / (report.lastMs - report.firstMs)) * 1000,
      cpuUs: (cpu * 1000) / count,
      requestsPerNotification: report.requests / report.notifications,
    }
  } finally {
    await running?.stop()
    client.destroy()
    await sqs.stop()
    await redis.stop()
  }
}
