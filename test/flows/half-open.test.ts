import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { arrivedAt, expectAll, expectHeardOrAnnounced, expectOrderAndIds, gapsOf } from '../support/arrived.ts'
import { CAMPAIGNS, cdrOf, drained, publishStatuses, pushCdrs } from '../support/load.ts'
import { readMetric } from '../support/metrics.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useRelay, waitFor } from '../support/relay.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'

test(
  'G2: the heartbeat detects a half-open connection; the relay reconnects and announces the gap',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const client = await useRedisClient(redis.url)
    const proxy = await useProxy(redis.port)
    const relay = await useRelay({
      redisUrl: `redis://127.0.0.1:${proxy.port}`,
      endpoint: sqs.endpoint,
      lists: [CAMPAIGNS],
    })
    const statuses = publishStatuses(client, 100)
    const cdrs = pushCdrs(client, 100)
    await waitFor(() => statuses.written > 50, 'some to be published')
    proxy.state.halfOpen = true
    await sleep(500)
    // The old connections stay dead. Only new ones get through.
    proxy.state.halfOpen = false
    await waitFor(async () => (await gapsOf(sqs)).length > 0, 'the gap to be announced', 15_000)
    const [pushed] = await Promise.all([cdrs.stop(), statuses.stop()])
    await waitFor(drained(client), 'all CDRs to be sent', 20_000)
    await waitFor(async () => (await readMetric(relay.address, 'journal_rows')) === 0, 'the journal to be empty')
    const [gap] = await gapsOf(sqs)
    expect(gap).toMatchObject({ cause: 'heartbeat_lost', source: 'main', relay: 'test' })
    const events = await arrivedAt(sqs, 'campaigns-cdr')
    expectAll(events, pushed)
    expectOrderAndIds(events)
    await expectHeardOrAnnounced(sqs, statuses.published)
  },
)

test(
  'a hanging connection for commands does not affect the subscription: nothing is missed and no gap is announced',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const [client, proxy] = [await useRedisClient(redis.url), await useProxy(redis.port)]
    const relay = await useRelay({ redisUrl: `redis://127.0.0.1:${proxy.port}`, endpoint: sqs.endpoint })
    // The next heartbeat makes the connection that publishes it hang.
    proxy.state.failAt = { words: 'enigma:relay:heartbeat', how: 'vanish' }
    await waitFor(() => proxy.state.failures > 0, 'the connection for commands to hang')
    const statuses = publishStatuses(client, 100)
    // Each new connection hangs too, for longer than the subscription itself may be silent.
    await sleep(6_500)
    proxy.state.failAt = undefined
    await waitFor(async () => (await relayed()) !== undefined, 'heartbeats to be published again', 20_000)
    const published = await statuses.stop()
    await waitFor(
      async () => (await readMetric(relay.address, 'received_total', { transport: 'pubsub' })) >= published,
      'all to be heard',
    )
    await waitFor(async () => (await readMetric(relay.address, 'journal_rows')) === 0, 'all to be sent')
    expectAll(await arrivedAt(sqs, 'agents-status'), published)
    expect(await readMetric(relay.address, 'gaps_total')).toBe(0)

    /** The lease is renewed by the same connection. */
    async function relayed() {
      const { parts } = (await (await fetch(`${relay.address}/readyz`)).json()) as {
        parts: Record<string, { ok: boolean }>
      }
      return Object.values(parts).every(({ ok }) => ok) || undefined
    }
  },
)

test(
  'G1: when the connection of the blocking move is half-open, items that are pushed in the meantime are still taken',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const [client, proxy] = [await useRedisClient(redis.url), await useProxy(redis.port)]
    await useRelay({ redisUrl: `redis://127.0.0.1:${proxy.port}`, endpoint: sqs.endpoint, lists: [CAMPAIGNS] })
    proxy.state.failAt = { words: 'BRPOPLPUSH', how: 'vanish' }
    await waitFor(() => proxy.state.failures > 0, 'it to wait in vain')
    proxy.state.failAt = undefined
    await client.lPush(
      CAMPAIGNS,
      Array.from({ length: 10 }, (_, n) => cdrOf(n)),
    )
    await waitFor(drained(client), 'all to be sent', 30_000)
    const events = await arrivedAt(sqs, 'campaigns-cdr')
    expectAll(events, 10)
    expectOrderAndIds(events)
  },
)
