import { once } from 'node:events'
import { createClient } from 'redis'
import { startRedisServer } from '../src/local/servers.ts'
import { sleep, type Release } from '../src/runtime/index.ts'
import { toCdr, type Published } from './load.ts'
import { startNode, type Running } from './processes.ts'
import { startStandIn } from './stand-in.ts'
import type { Mode, Subject } from './subject.ts'

const PUSH_AT_ONCE = 1_000

/** Starts Redis and the stand-in for SQS, between which the subject of a part runs. @param delayMs the maximum delay of an SQS response */
export async function setStage(release: Release, signal: AbortSignal, delayMs = 0) {
  const redis = await startRedisServer()
  release(redis.stop)
  const sqs = await startStandIn(delayMs)
  release(sqs.stop)
  const client = await createClient({ url: redis.url, RESP: 2 }).connect()
  release(() => client.destroy())
  return {
    sqs,
    client,
    /** Starts the subject. Resolves when it waits for notifications. */
    start: async (subject: Subject, mode: Mode): Promise<Running> => {
      const running = await subject.start(mode, redis.url, sqs.endpoint)
      release(running.stop)
      return running
    },
    /** Pushes `count` CDRs to a list. */
    fill: async (list: string, count: number): Promise<void> => {
      for (let from = 0; from < count; from += PUSH_AT_ONCE) {
        await client.lPush(
          list,
          Array.from({ length: Math.min(PUSH_AT_ONCE, count - from) }, (_, index) => toCdr(from + index)),
        )
        signal.throwIfAborted()
      }
    },
    /** Resolves when the list is empty, or after `limitMs`. */
    emptied: async (list: string, limitMs: number): Promise<void> => {
      const until = performance.now() + limitMs
      while ((await client.lLen(list)) > 0 && performance.now() < until) {
        await sleep(50, signal)
        signal.throwIfAborted()
      }
    },
    /** Publishes `count` notifications, `rate` per second, from a separate process. */
    publish: async (type: Published, rate: number, count: number): Promise<void> => {
      const publisher = startNode('./publisher.ts', {
        REDIS_URL: redis.url,
        TYPE: type,
        RATE: String(rate),
        COUNT: String(count),
      })
      release(publisher.stop)
      const [code] = (await once(publisher.child, 'exit', { signal })) as [number | null]
      if (code !== 0) throw new Error(`the publisher failed (${code})`)
    },
  }
}
