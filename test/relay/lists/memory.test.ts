import { expect, test } from 'vitest'
import { formatPacket, type RelayGap } from '../../../src/protocol/index.ts'
import { numberOf, readAccepted } from '../../support/accepted.ts'
import { gapsOf } from '../../support/arrived.ts'
import { readMetric } from '../../support/metrics.ts'
import { useProxy } from '../../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../../support/redis.ts'
import { useRelay, waitFor } from '../../support/relay.ts'
import { useSqsFaults, type Answer } from '../../support/sqs-faults.ts'

const LIST = 'enigma:notifications:campaigns'
const QUEUE = 'enigma-campaigns-cdr.fifo'
const AGENTS = 20
const PADDING = 'x'.repeat(1_000)
const MEMORY_BYTES = 800_000

const down = (): Answer => ({ status: 503, code: 'ServiceUnavailable' })

async function useStreet(lists: readonly string[] = []) {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  sqs.state.answer = down
  const options = { redisUrl: redis.url, endpoint: sqs.endpoint, lists, memoryBytes: MEMORY_BYTES }
  const relay = await useRelay(options)
  return { sqs, client, relay, options }
}

/** Returns the numbers that SQS accepted, per agent. */
async function byAgent(sqs: Awaited<ReturnType<typeof useSqsFaults>>, queue: string) {
  const numbers = (await readAccepted(sqs, queue)).map(numberOf)
  return Array.from({ length: AGENTS }, (_, agent) => numbers.filter((n) => n % AGENTS === agent))
}

const expected = (count: number) =>
  Array.from({ length: AGENTS }, (_, agent) =>
    Array.from({ length: count / AGENTS }, (_unused, at) => at * AGENTS + agent),
  )

test('while SQS is down the relay takes a list up to its byte limit and no further; afterwards all items are sent in order', async () => {
  const { sqs, client, relay } = await useStreet([LIST])
  const count = 3_000
  const cdrs = Array.from({ length: count }, (_, n) =>
    formatPacket({ type: 'cdr', payload: { call_ref: n % AGENTS, n, padding: PADDING } }),
  )
  await client.lPush(LIST, cdrs)
  await waitFor(async () => (await readMetric(relay.address, 'held_bytes')) >= MEMORY_BYTES, 'memory to be full')
  const left = await client.lLen(LIST)
  expect(left).toBeGreaterThan(count / 3)
  await waitFor(async () => (await readMetric(relay.address, 'retried_total')) > 0, 'a retry')
  expect(await client.lLen(LIST)).toBe(left)
  // The relay may have taken one more claim just below the limit.
  expect(await readMetric(relay.address, 'held_bytes')).toBeLessThan(MEMORY_BYTES + 500 * 1_500)
  sqs.state.answer = () => 'accept'
  await waitFor(async () => (await readMetric(relay.address, 'sent_total')) === count, 'all to be sent')
  expect(await byAgent(sqs, 'enigma-campaigns-cdr.fifo')).toEqual(expected(count))
})

test('G1: however much memory is free, the relay takes no more small items of a list than may be sent twice after a crash', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  sqs.state.answer = down
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST] })
  const count = 15_000
  const push = (from: number, to: number) =>
    client.lPush(
      LIST,
      Array.from({ length: to - from }, (_, at) =>
        formatPacket({ type: 'cdr', payload: { call_ref: (from + at) % AGENTS, n: from + at } }),
      ),
    )
  for (let from = 0; from < count; from += 1_000) await push(from, from + 1_000)
  await waitFor(async () => (await client.lLen(LIST)) <= count - 4_000, 'no room to be left')
  await waitFor(async () => (await readMetric(relay.address, 'retried_total')) > 20, 'retries')
  expect(await readMetric(relay.address, 'held')).toBe(4_000)
  expect(await client.lLen(LIST)).toBe(count - 4_000)
})

test('G1, G7: a queue that accepts nothing holds back only its own items, in Redis and in memory: all others are sent', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  sqs.state.answer = ({ queue }) => (queue === 'enigma-other.fifo' ? { status: 403, code: 'AccessDenied' } : 'accept')
  const [count, every] = [12_000, 100]
  const packetOf = (n: number) =>
    formatPacket({ type: n % every === 0 ? 'odd' : 'cdr', payload: { call_ref: n % AGENTS, n } })
  for (let from = 0; from < count; from += 1_000)
    await client.lPush(
      LIST,
      Array.from({ length: 1_000 }, (_, at) => packetOf(from + at)),
    )
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST] })
  const stuck = count / every
  // What a crash would send again.
  const inClaims = async () => {
    const claims = (await client.keys('enigma:relay:claim:*')).filter((key) => /:\d+$/.test(key))
    return (await Promise.all(claims.map((key) => client.lLen(key)))).reduce((sum, items) => sum + items, 0)
  }
  let most = 0
  await waitFor(async () => {
    most = Math.max(most, await inClaims())
    return (await readMetric(relay.address, 'sent_total', { route: 'campaigns-cdr' })) === count - stuck
  }, 'all others to be sent')
  expect(most).toBeLessThanOrEqual(4_000)
  expect(await readMetric(relay.address, 'held')).toBe(stuck)
  await waitFor(async () => (await inClaims()) === stuck, 'Redis to hold only what is not sent')
  await relay.stop()
  sqs.state.answer = () => 'accept'
  const former = sqs.accepted.length
  await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [LIST], dataDir: relay.dataDir })
  await waitFor(async () => (await readAccepted(sqs, 'enigma-other.fifo')).length === stuck, 'the rest to be sent')
  const [events, ids] = [await readAccepted(sqs, 'enigma-other.fifo'), new Set<string>()]
  for (const { id } of [...events, ...(await readAccepted(sqs, QUEUE))]) ids.add(id)
  expect(ids.size).toBe(count)
  expect(events.map(numberOf).toSorted((a, b) => a - b)).toEqual(Array.from({ length: stuck }, (_, n) => n * every))
  const later = sqs.accepted.slice(former).filter(({ queue }) => queue === QUEUE)
  expect(later).toEqual([])
})

test('G7: a list of large items whose queue accepts nothing leaves the other lists their share of memory', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  sqs.state.answer = ({ queue }) => (queue === QUEUE ? down() : 'accept')
  const inbound = 'enigma:notifications:inbound'
  const lists = [LIST, inbound]
  const relay = await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists, memoryBytes: MEMORY_BYTES })
  for (let n = 0; n < 2_000; n += 500)
    await client.lPush(
      LIST,
      Array.from({ length: 500 }, (_, at) =>
        formatPacket({ type: 'cdr', payload: { call_ref: n + at, n: n + at, padding: PADDING } }),
      ),
    )
  const share = MEMORY_BYTES / 2
  await waitFor(async () => (await readMetric(relay.address, 'held_bytes')) >= share, 'the share to be used up')
  await waitFor(async () => (await readMetric(relay.address, 'retried_total')) > 20, 'retries')
  expect(await readMetric(relay.address, 'held_bytes')).toBeLessThan(share * 1.4)
  for (let n = 0; n < 5; n++) {
    await client.lPush(inbound, formatPacket({ type: 'call', payload: { call_ref: n, ref: '1002', n } }))
    await waitFor(async () => (await readAccepted(sqs, 'enigma-inbound-call.fifo')).length === n + 1, 'the call')
  }
})

test('while SQS is down, Pub/Sub notifications over the limit of their route wait in the journal; later all are sent in order', async () => {
  const { sqs, client, relay } = await useStreet()
  const count = 2_000
  const publish = (n: number) =>
    client.publish(
      `enigma:notifications:agents:${1_000 + (n % AGENTS)}`,
      formatPacket({ type: 'status', payload: { status: 'busy', n, padding: PADDING } }),
    )
  await Promise.all(Array.from({ length: count }, (_, n) => publish(n)))
  await waitFor(async () => (await readMetric(relay.address, 'journal_rows')) === count, 'all to be in the journal')
  expect(await readMetric(relay.address, 'held_bytes')).toBeLessThan(MEMORY_BYTES / 16 + 2_000)
  sqs.state.answer = () => 'accept'
  await Promise.all(Array.from({ length: count }, (_, n) => publish(count + n)))
  await waitFor(async () => (await readMetric(relay.address, 'sent_total')) === 2 * count, 'all to be sent')
  expect(await byAgent(sqs, 'enigma-agents-status.fifo')).toEqual(expected(2 * count))
  await waitFor(async () => (await readMetric(relay.address, 'journal_rows')) === 0, 'the journal to be empty')
})

test('notifications left in claims and the journal are sent first by the next run, with the same ids', async () => {
  const { sqs, client, relay, options } = await useStreet([LIST])
  const push = (n: number) =>
    client.lPush(LIST, formatPacket({ type: 'cdr', payload: { call_ref: n % AGENTS, n, padding: PADDING } }))
  const publish = (n: number) =>
    client.publish(
      `enigma:notifications:agents:${1_000 + (n % AGENTS)}`,
      formatPacket({ type: 'status', payload: { status: 'busy', n, padding: PADDING } }),
    )
  for (let n = 0; n < 400; n++) await Promise.all([push(n), publish(n)])
  await waitFor(async () => (await readMetric(relay.address, 'journal_rows')) === 400, 'all to be in the journal')
  const before = new Map<string, string>()
  for (const { entries } of sqs.requests)
    for (const entry of entries)
      for (const id of entry.MessageBody.match(/"id":"main[^"]+"/g) ?? []) before.set(id, entry.MessageGroupId)
  await relay.stop()
  sqs.state.answer = () => 'accept'
  const next = await useRelay({ ...options, dataDir: relay.dataDir })
  for (let n = 400; n < 500; n++) await Promise.all([push(n), publish(n)])
  const sent = (route: string) => readMetric(next.address, 'sent_total', { route })
  await waitFor(async () => (await sent('campaigns-cdr')) + (await sent('agents-status')) === 1_000, 'all to be sent')
  expect(await byAgent(sqs, 'enigma-campaigns-cdr.fifo')).toEqual(expected(500))
  expect(await byAgent(sqs, 'enigma-agents-status.fifo')).toEqual(expected(500))
  const ids = new Set(
    sqs.accepted
      .filter(({ queue }) => !queue.includes('relay-'))
      .flatMap((entry) => entry.MessageBody.match(/"id":"main[^"]+"/g) ?? []),
  )
  expect(ids.size).toBe(1_000)
  expect(before.size).toBeGreaterThan(20)
  for (const id of before.keys()) expect(ids).toContain(id)
  expect(await readMetric(next.address, 'adopted_total', { transport: 'pubsub' })).toBe(400)
})

test('G2: a full journal discards calls, which grow stale, then the oldest of the rest, and counts and announces all of them in gaps', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  sqs.state.answer = down
  const relay = await useRelay({
    redisUrl: redis.url,
    endpoint: sqs.endpoint,
    memoryBytes: MEMORY_BYTES,
    journalBytes: 3_000_000,
  })
  const publish = async (type: string, from: number, to: number) => {
    for (let n = from; n < to; n += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, at) =>
          client.publish(
            `enigma:notifications:agents:${1_000 + ((n + at) % AGENTS)}`,
            formatPacket({ type, payload: { status: 'busy', call_ref: 'c', n: n + at, padding: PADDING } }),
          ),
        ),
      )
    }
  }
  const discarded = (route: string) => readMetric(relay.address, 'discarded_total', { route })
  const allHeard = (count: number) =>
    waitFor(
      async () => (await readMetric(relay.address, 'received_total', { transport: 'pubsub' })) === count,
      'all to be heard',
    )
  await publish('call', 0, 1_000)
  await publish('status', 0, 1_000)
  await allHeard(2_000)
  expect([await discarded('agents-call'), await discarded('agents-status')]).toEqual([0, 0])
  await publish('status', 1_000, 1_400)
  await allHeard(2_400)
  await waitFor(async () => (await discarded('agents-call')) > 0, 'calls to be discarded')
  expect(await discarded('agents-status')).toBe(0)
  await publish('status', 1_400, 4_000)
  await allHeard(5_000)
  await waitFor(
    async () => (await discarded('agents-status')) > 0,
    'statuses to be discarded, when no call is left that could be',
  )

  sqs.state.answer = () => 'accept'
  await waitFor(async () => (await readMetric(relay.address, 'journal_rows')) === 0, 'all to be sent')
  const gaps = async () =>
    (await readAccepted(sqs, 'enigma-relay-gap.fifo')).map(
      (event) => (JSON.parse(String(event.data)) as { payload: RelayGap }).payload,
    )
  const lost = async (route: string) =>
    (await gaps()).filter((gap) => gap.route === route).reduce((sum, gap) => sum + (gap.lost ?? 0), 0)
  await waitFor(
    async () =>
      (await lost('agents-call')) === (await discarded('agents-call')) &&
      (await lost('agents-status')) === (await discarded('agents-status')),
    'the gaps',
  )
  expect((await gaps()).every(({ cause }) => cause === 'journal_full')).toBe(true)
  const arrived = async (queue: string) => (await readAccepted(sqs, queue)).map(numberOf)
  expect((await arrived('enigma-agents-call.fifo')).length + (await lost('agents-call'))).toBe(1_000)
  const statuses = await arrived('enigma-agents-status.fifo')
  expect(statuses.length + (await lost('agents-status'))).toBe(4_000)
  // The oldest are discarded, except those in memory: at most some fifty of this size.
  const kept = new Set(statuses)
  const newestDiscarded = Array.from({ length: 4_000 }, (_, n) => n).findLast((n) => !kept.has(n)) ?? 0
  expect(statuses.filter((n) => n < newestDiscarded).length).toBeLessThan(100)
  expect([kept.has(0), kept.has(3_999)]).toEqual([true, true])
  // The order per agent is kept too.
  for (const numbers of await byAgent(sqs, 'enigma-agents-status.fifo'))
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
})

test('G2: a relay that stops right after it discards notifications, with Redis 5 ms away, leaves none unannounced', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const [client, proxy] = [await useRedisClient(redis.url), await useProxy(redis.port)]
  const options = { redisUrl: `redis://127.0.0.1:${proxy.port}`, endpoint: sqs.endpoint, memoryBytes: MEMORY_BYTES }
  sqs.state.answer = down
  const relay = await useRelay({ ...options, journalBytes: 1_000_000, shutdownMs: 100 })
  proxy.state.delayMs = 5
  const discarded = async () =>
    (await relay.metrics.discarded.get()).values.reduce((sum: number, { value }: { value: number }) => sum + value, 0)
  for (let n = 0; (await discarded()) === 0; n += 100)
    await Promise.all(
      Array.from({ length: 100 }, (_, at) =>
        client.publish(
          `enigma:notifications:agents:${1_000 + at}`,
          formatPacket({ type: 'status', payload: { status: 'busy', n: n + at, padding: PADDING } }),
        ),
      ),
    )
  await relay.stop()
  sqs.state.answer = () => 'accept'
  await useRelay({ ...options, dataDir: relay.dataDir })
  const announced = async () =>
    (await gapsOf(sqs)).filter(({ cause }) => cause === 'journal_full').reduce((sum, gap) => sum + (gap.lost ?? 0), 0)
  await waitFor(async () => (await announced()) >= (await discarded()), 'the gap to be announced', 10_000)
  expect(await announced()).toBe(await discarded())
})
