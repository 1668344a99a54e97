import { expect, test } from 'vitest'
import { arrivedAt } from '../support/arrived.ts'
import { agentChannel, CAMPAIGNS, cdrOf, statusOf } from '../support/load.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, useRelay, waitFor } from '../support/relay.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

const HOUR_MS = 3_600_000
const EACH = 20

test(
  'G1, G3: with Redis emptied and the clock set back while the relay is down, no id repeats and newer notifications sort last',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs, dataDir] = [await useRedisServer(), await useSqsFaults(), await useFolder()]
    const client = await useRedisClient(redis.url)
    const routes = ['campaigns-cdr', 'agents-status'] as const
    for (const run of [0, 1, 2]) {
      const relay = await useRelay({
        redisUrl: redis.url,
        endpoint: sqs.endpoint,
        lists: [CAMPAIGNS],
        dataDir,
        now: () => Date.now() - run * HOUR_MS,
      })
      for (let n = run * EACH; n < (run + 1) * EACH; n++)
        await Promise.all([client.lPush(CAMPAIGNS, cdrOf(n)), client.publish(agentChannel(n), statusOf(n))])
      for (const route of routes)
        await waitFor(
          async () => (await arrivedAt(sqs, route)).length === (run + 1) * EACH,
          `all of ${route} to arrive`,
        )
      await relay.stop()
      await client.flushAll()
    }
    for (const route of routes) {
      const events = await arrivedAt(sqs, route)
      expect(new Set(events.map(({ id }) => id)).size).toBe(3 * EACH)
      const numbers = events
        .toSorted((a, b) => (a.sequence < b.sequence ? -1 : 1))
        .map(({ data }) => (JSON.parse(String(data)) as { payload: { n: number } }).payload.n)
      expect([route, numbers]).toEqual([route, Array.from({ length: 3 * EACH }, (_, n) => n)])
    }
  },
)
