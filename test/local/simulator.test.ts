import { RESP_TYPES } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import { createProducer, toPresentState, type Outgoing } from '../../src/producer/index.ts'
import { createSchedule, type TimedPacket } from '../../src/simulator/schedule.ts'
import { createSimulator, SIMULATOR_LISTS, type SimulatorOptions } from '../../src/simulator/simulator.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useReservedPort } from '../support/reserved-port.ts'
import { START_MS } from '../support/simulator.ts'

/** A simulator that writes to a Redis, stopped when the test ends. */
function useSimulator(url: string, options: Omit<SimulatorOptions, 'producer' | 'onEvent'>) {
  const producer = createProducer({ url })
  onTestFinished(() => producer.close())
  const events: TimedPacket[] = []
  const simulator = createSimulator({ producer, startMs: START_MS, ...options, onEvent: (event) => events.push(event) })
  const abort = new AbortController()
  const done = simulator.run(abort.signal)
  const stop = () => {
    abort.abort()
    return done
  }
  onTestFinished(() => stop().catch(() => undefined))
  return { simulator, events, stop, done }
}

const wire = ({ packet }: Outgoing) =>
  packet instanceof Uint8Array
    ? Buffer.from(packet)
    : Buffer.from(typeof packet === 'string' ? packet : JSON.stringify(packet))
const wires = (events: readonly TimedPacket[], transport: string, key?: string) =>
  events
    .map(({ outgoing }) => outgoing)
    .filter((outgoing) => outgoing.transport === transport && (key ?? outgoing.key) === outgoing.key)

async function listOf(url: string, key: string) {
  const client = await useRedisClient(url)
  return (await client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).lRange(key, 0, -1)).toReversed()
}

test('the present states in the hashes are those of the last packets', async () => {
  const { url } = await useRedisServer()
  const { events, stop } = useSimulator(url, { agents: 10, speed: 200, seed: 3 })
  await expect.poll(() => events.length, { timeout: 15_000 }).toBeGreaterThan(500)
  await stop()
  const last = new Map<string, Record<string, string>>()
  for (const { outgoing } of events) {
    const state = toPresentState(outgoing)
    if (state !== undefined) last.set(state.key, { ...last.get(state.key), [state.field]: state.value })
  }
  const client = await useRedisClient(url)
  expect(last.size).toBeGreaterThan(2)
  for (const [key, states] of last) expect([key, { ...(await client.hGetAll(key)) }]).toEqual([key, states])
})

test('subscribers and lists get every generated packet in order, byte for byte, and the counters match', async () => {
  const { url } = await useRedisServer()
  const subscriber = await useRedisClient(url)
  const heard: [string, Buffer][] = []
  await subscriber.pSubscribe(
    'enigma:notifications*',
    (message, channel) => void heard.push([channel.toString(), message]),
    true,
  )
  const { simulator, events, stop } = useSimulator(url, { agents: 40, speed: 200, seed: 3 })
  await expect.poll(() => events.length, { timeout: 15_000 }).toBeGreaterThan(2_000)
  const before = events.length
  await stop()

  const schedule = createSchedule({ agents: 40, seed: 3, toUnixMs: (atMs) => START_MS + atMs / 200 })
  expect(events.slice(0, before)).toEqual(Array.from({ length: before }, () => schedule.next()))

  const published = wires(events, 'pubsub')
  await expect.poll(() => heard.length).toBe(published.length)
  expect(heard).toEqual(published.map((outgoing) => [outgoing.key, wire(outgoing)]))
  for (const list of SIMULATOR_LISTS) expect(await listOf(url, list)).toEqual(wires(events, 'list', list).map(wire))

  const { counters } = simulator
  expect(counters).toMatchObject({
    published: published.length,
    pushed: events.length - published.length,
    lost: 0,
    kept: 0,
  })
  expect(events.at(-1)?.outgoing.packet).toEqual({ type: 'status', payload: { ref: 'dialler-1', status: 'stopped' } })
})

test('while Redis is down, Pub/Sub packets are lost and list packets are kept; once it is back, no CDR is missing', async () => {
  const port = await useReservedPort()
  const first = await useRedisServer({ port })
  const { simulator, events, stop } = useSimulator(first.url, { speed: 60 })
  await expect.poll(() => simulator.counters.pushed, { timeout: 10_000 }).toBeGreaterThan(20)
  await first.stop()
  await expect.poll(() => simulator.counters.kept, { timeout: 10_000 }).toBeGreaterThan(20)
  expect(simulator.counters.lost).toBeGreaterThan(0)
  const before = events.length
  const second = await useRedisServer({ port })
  await expect.poll(() => simulator.counters.kept, { timeout: 10_000 }).toBe(0)
  await stop()

  // The second server starts empty, so it holds the kept packets and the later ones, in order.
  for (const list of SIMULATOR_LISTS)
    expect(await listOf(second.url, list)).toEqual(wires(events.slice(before), 'list', list).map(wire))
  expect(simulator.counters.pushed).toBe(wires(events, 'list').length)
})

test('if Redis is down at the start, the run ends with the reason', async () => {
  const { done } = useSimulator(`redis://127.0.0.1:${await useReservedPort()}`, {})
  await expect(done).rejects.toMatchObject({
    code: 'producer.write.not_taken',
    message: expect.stringContaining('ECONNREFUSED') as unknown,
  })
})

test('options that cannot be used are named', () => {
  const producer = createProducer({ url: 'redis://127.0.0.1:1' })
  const bad: [keyof SimulatorOptions, number][] = [
    ['agents', 0],
    ['agents', 1.5],
    ['agents', 100_001],
    ['agents', Number.NaN],
    ['speed', 0],
    ['speed', Number.POSITIVE_INFINITY],
    ['seed', 0.5],
  ]
  for (const [name, value] of bad)
    expect(() => createSimulator({ producer, [name]: value })).toThrow(
      expect.objectContaining({
        code: 'dev.simulator.invalid',
        message: expect.stringMatching(new RegExp(`\\b${name}\\b`)) as string,
      }) as Error,
    )
})
