import { expect, test } from 'vitest'
import { formatPacket } from '../../src/protocol/index.ts'
import { receiveDistinct, toNumbered } from '../support/collect.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder } from '../support/relay.ts'
import { startRelayProcess } from '../support/relay-process.ts'
import { isInOrder } from '../support/sender.ts'
import { useSqs } from '../support/sqs.ts'

const LIST = 'enigma:notifications:campaigns'
const COUNT = 10_000
const AGENTS = 200
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

test(
  '10,000 CDRs and 10,000 Pub/Sub notifications of 200 agents, mixed, all arrive once and in order per reference',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqs()]
    const client = await useRedisClient(redis.url)
    const relay = startRelayProcess({
      redisUrl: redis.url,
      endpoint: sqs.endpoint,
      lists: [LIST],
      dataDir: await useFolder(),
    })
    await relay.ready()
    const receiving = Promise.all([
      receiveDistinct(sqs, 'campaigns-cdr', COUNT, 50_000),
      receiveDistinct(sqs, 'agents-status', COUNT / 2, 50_000),
      receiveDistinct(sqs, 'agents-call', COUNT / 2, 50_000),
    ])
    for (let from = 0; from < COUNT; from += 250) {
      const cdrs = numbers(250).map((at) =>
        formatPacket({
          type: 'cdr',
          payload: { call_ref: (from + at) % AGENTS, dialed_at: 1_764_000_000, n: from + at },
        }),
      )
      await Promise.all([
        client.lPush(LIST, cdrs),
        ...numbers(250).map((at) => {
          const n = from + at
          const packet = formatPacket({ type: n % 2 === 0 ? 'status' : 'call', payload: { status: 'busy', n } })
          return client.publish(`enigma:notifications:agents:${1_000 + (Math.floor(n / 2) % AGENTS)}`, packet)
        }),
      ])
    }
    const [cdrs, statuses, calls] = (await receiving).map((events) => events.map(toNumbered))
    for (const received of [cdrs, statuses, calls]) {
      expect(isInOrder(received ?? [])).toBe(true)
      expect(new Set(received?.map(({ reference }) => reference)).size).toBe(AGENTS)
    }
    const sorted = (received: typeof cdrs) => received?.map(({ n }) => n).toSorted((a, b) => a - b)
    expect(sorted(cdrs)).toEqual(numbers(COUNT))
    expect(sorted([...(statuses ?? []), ...(calls ?? [])])).toEqual(numbers(COUNT))
    expect(await relay.metric('gaps_total')).toBe(0)
    expect(await relay.metric('sent_total')).toBe(2 * COUNT)
    expect(await client.lLen(LIST)).toBe(0)
  },
)
