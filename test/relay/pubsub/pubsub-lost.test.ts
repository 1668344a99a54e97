import { expect, test } from 'vitest'
import { formatPacket } from '../../../src/protocol/index.ts'
import { NUMBER_KEY } from '../../../src/relay/redis/relay-keys.ts'
import { readAccepted } from '../../support/accepted.ts'
import { expectHeardOrAnnounced, gapsOf } from '../../support/arrived.ts'
import { publishStatuses } from '../../support/load.ts'
import { readMetric } from '../../support/metrics.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useRelay, waitFor } from '../../support/relay.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

test.each([
  ['', 0, 2],
  [', also while the numbers in Redis are ahead of the clock, as after it was set back', 3_600_000, 1],
])(
  'G2: every notification in transit when a connection is lost is received or within the gap%s',
  async (_when, aheadMs, rounds) => {
    const redis = await useRedisServer()
    const [sqs, client, proxy] = [await useSqsFaults(), await useRedisClient(redis.url), await useProxy(redis.port)]
    if (aheadMs > 0) await client.set(NUMBER_KEY, Date.now() + aheadMs)
    const relay = await useRelay({ redisUrl: `redis://127.0.0.1:${proxy.port}`, endpoint: sqs.endpoint })
    proxy.state.delayMs = 200
    const statuses = publishStatuses(client, 200)
    const heartbeat = () => readMetric(relay.address, 'heartbeat_seconds')
    for (let round = 1; round <= rounds; round++) {
      // Right after a heartbeat: what was published behind it is still in the network.
      await new Promise((resolve) => setTimeout(resolve, 1_200))
      const before = await heartbeat()
      await waitFor(async () => (await heartbeat()) !== before, 'the next heartbeat')
      proxy.cut()
      await waitFor(
        async () => (await readMetric(relay.address, 'gaps_total', { cause: 'reconnect' })) === round,
        'the gap',
        20_000,
      )
    }
    await statuses.stop()
    await waitFor(async () => (await gapsOf(sqs)).length === rounds, 'the gaps to be announced')
    // Heartbeats that were sent after the last status.
    for (let beats = 0; beats < 2; beats++) {
      const before = await heartbeat()
      await waitFor(async () => (await heartbeat()) !== before, 'a heartbeat')
    }
    await waitFor(async () => (await readMetric(relay.address, 'journal_rows')) === 0, 'the journal to be empty')
    await expectHeardOrAnnounced(sqs, statuses.published)
  },
  60_000,
)

test.each([
  ['cut', '\r\nID\r\n'],
  ['cut', '\r\npsubscribe\r\n'],
  ['cut', '\r\nsubscribe\r\n'],
  ['vanish', 'SETINFO'],
  ['vanish', '\r\nID\r\n'],
] as const)(
  'G2: a connection that fails while it subscribes (%s at %j) is replaced, and the missed time is announced as a gap',
  { timeout: 40_000 },
  async (how, words) => {
    const redis = await useRedisServer()
    const [sqs, client, proxy] = [await useSqsFaults(), await useRedisClient(redis.url), await useProxy(redis.port)]
    await useRelay({ redisUrl: `redis://127.0.0.1:${proxy.port}`, endpoint: sqs.endpoint })
    const former = (await client.sendCommand<string>(['CLIENT', 'LIST', 'TYPE', 'pubsub'])).match(/id=(\d+)/)?.[1]
    proxy.state.failAt = { words, how }
    await client.sendCommand(['CLIENT', 'KILL', 'ID', former ?? ''])
    await waitFor(() => proxy.state.failures > 0, 'the fault to happen')
    proxy.state.failAt = undefined
    await waitFor(async () => (await gapsOf(sqs)).length > 0, 'the gap to be announced', 20_000)
    expect(await gapsOf(sqs)).toMatchObject([{ cause: 'reconnect', source: 'main' }])
    await client.publish(
      'enigma:notifications:agents:1001',
      formatPacket({ type: 'status', payload: { status: 'busy', n: 1 } }),
    )
    await waitFor(
      async () => (await readAccepted(sqs, 'enigma-agents-status.fifo')).length === 1,
      'what is published then to arrive',
    )
  },
)
