import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { formatPacket } from '../../../src/protocol/index.ts'
import { heartbeatChannel } from '../../../src/relay/redis/relay-keys.ts'
import { hashPatterns } from '../../../src/relay/pubsub/subscription.ts'
import { numberOf, readAccepted } from '../../support/accepted.ts'
import { gapsOf } from '../../support/arrived.ts'
import { publishStatuses } from '../../support/load.ts'
import { readMetric } from '../../support/metrics.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useRelayRedis } from '../../support/relay-redis.ts'
import { useRelay, waitFor, type UseRelayOptions } from '../../support/relay.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

const QUEUE = 'enigma-agents-status.fifo'
const statusOf = (n: number) => formatPacket({ type: 'status', payload: { status: 'busy', n } })

async function useStreet(options: Partial<UseRelayOptions> = {}) {
  const redis = await useRedisServer()
  const sqs = await useSqsFaults()
  const client = await useRedisClient(redis.url)
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, ...options })
  const publish = (reference: string, n: number) =>
    client.publish(`enigma:notifications:agents:${reference}`, statusOf(n))
  const heard = async (count: number, queue = QUEUE) => {
    await waitFor(async () => (await readAccepted(sqs, queue)).length >= count, `${count} notifications`)
    return readAccepted(sqs, queue)
  }
  return { redis, sqs, client, relay, publish, heard }
}

test('relays with different ids give the same notification the same id, over heartbeats of both', async () => {
  const { redis, sqs, relay, publish, heard } = await useStreet()
  const other = await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    env: { ENIGMA_RELAY_ID: 'another', ENIGMA_QUEUE_PREFIX: 'another-' },
  })
  let n = 0
  const epochs = async () => new Set((await readAccepted(sqs, QUEUE)).map(({ id }) => id.split('/')[2])).size
  while ((await epochs()) < 4) {
    for (let many = 0; many < 10; many++) await publish(String(1_000 + (n % 7)), n++)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const byNumber = (events: Awaited<ReturnType<typeof heard>>) =>
    new Map(events.map((event) => [numberOf(event), event.id]))
  const [one, two] = [byNumber(await heard(n)), byNumber(await heard(n, 'another-agents-status.fifo'))]
  expect(one.size).toBe(n)
  expect(two).toEqual(one)
  expect(new Set(one.values()).size).toBe(n)
  for (const { address } of [relay, other]) expect(await readMetric(address, 'gaps_total')).toBe(0)
})

test(
  'a relay that subscribes later gives notifications the same ids as other relays, from its first heartbeat on',
  { timeout: 40_000 },
  async () => {
    const { redis, sqs, client, heard } = await useStreet()
    const [proxy, beating] = [await useProxy(redis.port), await useRelayRedis(redis.url)]
    const statuses = publishStatuses(client, 500)
    const isOver = new AbortController()
    onTestFinished(() => isOver.abort())
    // Often enough that heartbeats arrive at each step of its connection, which takes a second.
    const channel = heartbeatChannel(hashPatterns(['enigma:notifications*']))
    let made = 0
    const beats = (async () => {
      for (; !isOver.signal.aborted; made++) {
        await beating.publishHeartbeat({ leastNumber: Date.now(), channel }).catch(() => undefined)
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    })()
    proxy.state.delayMs = 150
    const later = await useRelay({
      redisUrl: `redis://127.0.0.1:${proxy.port}`,
      endpoint: sqs.endpoint,
      env: { ENIGMA_RELAY_ID: 'another', ENIGMA_QUEUE_PREFIX: 'another-' },
    })
    const epochOf = (id: string) => id.split('/')[2]
    const from = made
    await waitFor(() => made > from + 20, 'many a heartbeat', 30_000)
    const published = await statuses.stop()
    isOver.abort()
    await beats
    const idsOf = (events: Awaited<ReturnType<typeof heard>>) =>
      new Map(events.map((event) => [numberOf(event), event.id]))
    const ids = idsOf(await heard(published))
    await waitFor(async () => (await readMetric(later.address, 'journal_rows')) === 0, 'all that it heard to be sent')
    const epochs = new Set([...ids.values()].map(epochOf))
    // Notifications received before the first heartbeat have different ids.
    const shared = [...idsOf(await readAccepted(sqs, 'another-agents-status.fifo'))].filter(([, id]) =>
      epochs.has(epochOf(id)),
    )
    expect(shared.length).toBeGreaterThan(20)
    expect(shared.filter(([n, id]) => ids.get(n) !== id)).toEqual([])
  },
)

test('relays with different patterns give their notifications different ids', async () => {
  const { redis, sqs, publish, heard } = await useStreet()
  await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    channels: ['enigma:notifications:agents:1002'],
    env: { ENIGMA_RELAY_ID: 'another', ENIGMA_QUEUE_PREFIX: 'another-' },
  })
  for (let n = 0; n < 10; n++) await publish(n % 2 === 0 ? '1001' : '1002', n)
  const ids = [...(await heard(10)), ...(await heard(5, 'another-agents-status.fifo'))].map(({ id }) => id)
  expect(new Set(ids).size).toBe(15)
})

test('a notification that several patterns match is sent and counted once', async () => {
  const { relay, publish, heard } = await useStreet({
    channels: ['enigma:notifications:agents:100?', 'enigma:notifications:*', 'enigma:*'],
  })
  for (let n = 0; n < 20; n++) await publish(n % 2 === 0 ? '1002' : '2002', n)
  const events = await heard(20)
  expect(events.map(numberOf).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n))
  expect(await readMetric(relay.address, 'received_total')).toBe(20)
})

test('a relay that subscribes to one reference receives only that one', async () => {
  const { publish, heard, relay } = await useStreet({ channels: ['enigma:notifications:agents:1002'] })
  for (let n = 0; n < 9; n++) await publish(String(1_001 + (n % 3)), n)
  expect((await heard(3)).map(({ subject }) => subject)).toEqual(['1002', '1002', '1002'])
  expect(await readMetric(relay.address, 'received_total')).toBe(3)
})

test("a pattern that matches the relay's own heartbeats does not make notifications of them", async () => {
  const { relay, publish, heard } = await useStreet({ channels: ['*'] })
  await waitFor(async () => (await readMetric(relay.address, 'heartbeat_seconds')) > 0, 'a heartbeat')
  await publish('1002', 0)
  await heard(1)
  expect(await readMetric(relay.address, 'received_total')).toBe(1)
})

test('a heartbeat with a number that was already received begins no new epoch, and ids do not repeat', async () => {
  const { redis, publish, heard } = await useStreet()
  const [onlooker, client] = [await useRedisClient(redis.url), await useRedisClient(redis.url)]
  const beat = Promise.withResolvers<[number: string, channel: string]>()
  await onlooker.pSubscribe('enigma:relay:heartbeat:*', (number, channel) => beat.resolve([number, channel]))
  const [number, channel] = await beat.promise
  // As another relay on the same replica would, in the same millisecond.
  for (let n = 0; n < 6; n++) {
    await publish('1002', n)
    await client.publish(channel, number)
  }
  const events = await heard(6)
  expect(events.map(numberOf)).toEqual([0, 1, 2, 3, 4, 5])
  expect(new Set(events.map(({ id }) => id)).size).toBe(6)
  const sequences = events.map(({ sequence }) => sequence)
  expect(sequences).toEqual(sequences.toSorted())
})

test('foreign messages on the heartbeat channel begin no epoch, change no number, are logged once and are never stored', async () => {
  const { redis, sqs, relay, client, publish, heard } = await useStreet({ lists: ['enigma:notifications:campaigns'] })
  const channel = heartbeatChannel(hashPatterns(['enigma:notifications*']))
  const strays = ['9e18', '9007199254740993', '1e999', 'NaN', '-1', '', 'hello', String(Date.now() + 3_600_000)]
  for (const [n, stray] of strays.entries()) {
    await client.publish(channel, stray)
    await publish('1002', n)
    await client.lPush('enigma:notifications:campaigns', formatPacket({ type: 'cdr', payload: { call_ref: n } }))
    await heard(n + 1)
    await waitFor(async () => (await readAccepted(sqs, 'enigma-campaigns-cdr.fifo')).length === n + 1, 'the CDR')
  }
  const events = [...(await heard(strays.length)), ...(await readAccepted(sqs, 'enigma-campaigns-cdr.fifo'))]
  expect(new Set(events.map(({ id }) => id)).size).toBe(2 * strays.length)
  for (const { id } of events) expect(Number(id.split('/')[2])).toBeLessThan(Date.now() + 60_000)
  expect(relay.lines.filter((line) => line.includes('relay.pubsub.heartbeat_ignored'))).toHaveLength(1)
  await relay.stop()
  const next = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, dataDir: relay.dataDir })
  expect((await fetch(`${next.address}/readyz`)).status).toBe(200)
})

test('G2: a cut subscription is announced as a gap with from, to and cause, and ids never repeat', async () => {
  const { relay, client, publish, heard } = await useStreet()
  expect(await readMetric(relay.address, 'gaps_total')).toBe(0)
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 5; n++) await publish('1002', round * 5 + n)
    await heard(round * 5 + 5)
    await client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub'])
    await waitFor(
      async () => (await readMetric(relay.address, 'gaps_total', { cause: 'reconnect' })) === round + 1,
      'the gap',
    )
  }
  await publish('1002', 15)
  const events = await heard(16)
  expect(events.map(numberOf)).toEqual(Array.from({ length: 16 }, (_, n) => n))
  expect(new Set(events.map(({ id }) => id)).size).toBe(16)
  const sequences = events.map(({ sequence }) => sequence)
  expect(sequences).toEqual(sequences.toSorted())
  const gap = relay.lines
    .map((line) => JSON.parse(line) as Record<string, string>)
    .find(({ code }) => code === 'relay.pubsub.gap')
  expect(gap).toMatchObject({ source: 'main', cause: 'reconnect' })
  expect(Date.parse(gap?.['from'] ?? '')).toBeLessThanOrEqual(Date.parse(gap?.['to'] ?? ''))
})

test('the time between two runs is a gap; the very first start has none', async () => {
  const { redis, sqs, relay } = await useStreet()
  expect(await readMetric(relay.address, 'gaps_total')).toBe(0)
  await relay.stop()
  const next = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, dataDir: relay.dataDir })
  expect(await readMetric(next.address, 'gaps_total', { cause: 'start' })).toBe(1)
})

test('an unreadable journal does not count as a first start: the time since it was written is a gap', async () => {
  const { redis, sqs, relay } = await useStreet()
  await relay.stop()
  const file = join(relay.dataDir, 'journal-test.db')
  await writeFile(
    file,
    'this is no database, it is a text of more than a hundred bytes, so that SQLite looks at its head and refuses it',
  )
  const written = new Date(Math.floor((await stat(file)).mtimeMs)).toISOString()
  await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, dataDir: relay.dataDir })
  await waitFor(async () => (await gapsOf(sqs)).length === 2, 'the gaps to be announced')
  expect((await gapsOf(sqs)).toSorted((a, b) => (a.cause < b.cause ? -1 : 1))).toEqual([
    // The contents of the journal are unknown.
    expect.objectContaining({ cause: 'journal_damaged', from: written, to: written }),
    expect.objectContaining({ cause: 'start', from: written }),
  ])
})

test('a gap does not end before it begins when the clock was set back meanwhile', async () => {
  const { redis, sqs, relay } = await useStreet()
  await relay.stop()
  await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    dataDir: relay.dataDir,
    now: () => Date.now() - 3_600_000,
  })
  await waitFor(async () => (await gapsOf(sqs)).length > 0, 'the gap to be announced')
  const [gap] = await gapsOf(sqs)
  expect(gap).toMatchObject({ cause: 'start', from: gap?.to })
})

test('a relay without channels subscribes to nothing and is ready', async () => {
  const { client, relay } = await useStreet({ env: { ENIGMA_CHANNELS: 'none' } })
  expect(await client.sendCommand(['PUBSUB', 'NUMPAT'])).toBe(0)
  expect((await fetch(`${relay.address}/readyz`)).status).toBe(200)
  expect(relay.lines.filter((line) => line.includes('relay.process.idle'))).toHaveLength(1)
})
