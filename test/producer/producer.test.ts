import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { RESP_TYPES } from 'redis'
import { expect, onTestFinished, test } from 'vitest'
import { createProducer, ProducerError, type ProducerOptions } from '../../src/producer/index.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useReservedPort } from '../support/reserved-port.ts'

function useProducer(options: ProducerOptions) {
  const producer = createProducer(options)
  onTestFinished(() => producer.close())
  return producer
}

async function useSubscriber(url: string, pattern: string) {
  const client = await useRedisClient(url)
  const heard: { channel: string; message: Buffer }[] = []
  await client.pSubscribe(
    pattern,
    (message, channel) => void heard.push({ channel: channel.toString(), message }),
    true,
  )
  return heard
}

const rejection = async (promise: Promise<unknown>): Promise<ProducerError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ProducerError)
  return error as ProducerError
}

test('publish writes the packet as JSON on the channel of type and reference, and says how many received it', async () => {
  const { url } = await useRedisServer()
  const producer = useProducer({ url })
  const packet = { type: 'status', payload: { ref: '1002', status: 'busy' } }
  expect(await producer.publish({ type: 'agents', reference: '1002' }, packet)).toBe(0)
  const heard = await useSubscriber(url, 'enigma:notifications:*')
  expect(await producer.publish({ type: 'agents', reference: '1002' }, packet)).toBe(1)
  await expect
    .poll(() => heard.map(({ channel, message }) => [channel, message.toString()]))
    .toEqual([['enigma:notifications:agents:1002', '{"type":"status","payload":{"ref":"1002","status":"busy"}}']])
})

test('packets called without waiting, from before the connection stands, arrive in the order of the calls', async () => {
  const { url } = await useRedisServer()
  const heard = await useSubscriber(url, 'order*')
  const producer = useProducer({ url })
  const sent: Promise<number>[] = []
  for (let at = 0; at < 500; at++) {
    sent.push(producer.publish('order', String(at)))
    if (at % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all(sent)
  await expect.poll(() => heard.length).toBe(500)
  expect(heard.map(({ message }) => Number(message.toString()))).toEqual(Array.from({ length: 500 }, (_, at) => at))
})

test('push and pushAll put the first packet where it is popped first, and return the length of the list', async () => {
  const { url } = await useRedisServer()
  const client = await useRedisClient(url)
  const producer = useProducer({ url, chunkPackets: 3 })
  const list = 'enigma:notifications:campaigns'
  expect(await producer.push({ type: 'campaigns' }, '0')).toBe(1)
  expect(await producer.pushAll(list, ['1', '2', '3', '4', '5', '6', '7'])).toBe(8)
  expect(await producer.pushAll(list, [])).toBe(0)
  const popped = []
  for (let at = 0; at < 8; at++) popped.push(await client.rPop(list))
  expect(popped).toEqual(['0', '1', '2', '3', '4', '5', '6', '7'])
})

test('text and bytes are written as they are', async () => {
  const { url } = await useRedisServer()
  const client = await useRedisClient(url)
  const producer = useProducer({ url, chunkBytes: 4 })
  const binary = new Uint8Array([9, 0xff, 0, 0xc3, 9]).subarray(1, 4)
  await producer.pushAll('list', ['', '{"n":9007199254740993}', binary, '😀'])
  const items = await client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).lRange('list', 0, -1)
  expect(items).toEqual([
    Buffer.from('😀'),
    Buffer.from(binary),
    Buffer.from('{"n":9007199254740993}'),
    Buffer.from(''),
  ])
})

test('a client of the caller is used and left open', async () => {
  const { url } = await useRedisServer()
  const client = await useRedisClient(url)
  const producer = createProducer({ client })
  expect(await producer.push('list', 'x')).toBe(1)
  await producer.close()
  expect(await client.lLen('list')).toBe(1)
})

test('push rejects with not_taken while Redis is down, and succeeds once Redis is up', async () => {
  const port = await useReservedPort()
  const producer = useProducer({ url: `redis://127.0.0.1:${port}` })
  const error = await rejection(producer.push('list', 'x'))
  expect(error).toMatchObject({ code: 'producer.write.not_taken', taken: 0 })
  expect(error.message).toContain('ECONNREFUSED')
  await useRedisServer({ port })
  expect(await producer.push('list', 'x')).toBe(1)
})

test('push rejects after Redis has stopped, and succeeds once Redis is back', async () => {
  const port = await useReservedPort()
  const first = await useRedisServer({ port })
  const producer = useProducer({ url: first.url })
  await producer.push('list', 'x')
  await first.stop()
  expect((await rejection(producer.push('list', 'y'))).code).toBe('producer.write.not_taken')
  await useRedisServer({ port })
  await expect.poll(() => producer.push('list', 'z').catch(() => 0), { timeout: 10_000 }).toBe(1)
})

test('pushAll rejects if Redis runs out of memory, and `taken` is the number of packets in the list', async () => {
  const { url } = await useRedisServer({ args: ['--maxmemory', '3mb'] })
  const client = await useRedisClient(url)
  const producer = useProducer({ url, chunkPackets: 10 })
  const packets = Array.from({ length: 400 }, (_, at) => `${at} ${'x'.repeat(20_000)}`)
  const error = await rejection(producer.pushAll('list', packets))
  expect(error.code).toBe('producer.write.not_taken')
  expect(error.message).toContain('OOM')
  expect(error.taken).toBeGreaterThan(0)
  expect(error.taken).toBeLessThan(400)
  expect(await client.lLen('list')).toBe(error.taken)
})

test('a Redis that does not answer rejects after the time limit, and does not keep close waiting', async () => {
  const server = await useRedisServer()
  const producer = createProducer({ url: server.url, timeoutMs: 1_000 })
  await producer.push('list', 'x')
  server.process.kill('SIGSTOP')
  onTestFinished(() => void server.process.kill('SIGCONT'))
  const error = await rejection(producer.push('list', 'y'))
  expect(error).toMatchObject({ code: 'producer.write.not_taken', cause: { code: 'producer.redis.no_answer' } })
  await producer.close()
})

test('with the address of an HTTP server, writes are rejected, and close leaves no connection open', async () => {
  const server = createServer((_request, response) => response.end())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  let reconnects = 0
  server.on('connection', () => reconnects++)
  const { port } = server.address() as AddressInfo
  for (let n = 0; n < 10; n++) {
    const producer = createProducer({ url: `redis://127.0.0.1:${port}` })
    await expect(producer.publish('enigma:notifications:agents:1', '{}')).rejects.toMatchObject({
      code: 'producer.write.not_taken',
    })
    await producer.close()
  }
  const openConnections = promisify(server.getConnections.bind(server))
  // Some producers were reconnecting when they were closed.
  await expect.poll(() => reconnects).toBeGreaterThan(10)
  await expect.poll(() => openConnections()).toBe(0)
})

test('the errors for a wrong password and an invalid address do not contain the password', async () => {
  const { url } = await useRedisServer({ args: ['--requirepass', 'right'] })
  const producer = useProducer({ url: url.replace('//', '//:secret-word@') })
  const error = await rejection(producer.push('list', 'x'))
  expect(error.code).toBe('producer.write.not_taken')
  expect(error.message).toContain('WRONGPASS')
  expect(error.message).not.toContain('secret-word')
  for (const address of ['127.0.0.1:8001', 'http://:secret-word@127.0.0.1', '', 'redis//:secret-word@x']) {
    const wrong = { code: 'producer.address.invalid', message: expect.not.stringContaining('secret-word') as unknown }
    expect(() => createProducer({ url: address })).toThrow(expect.objectContaining(wrong))
  }
})

test('a packet that JSON cannot hold rejects with producer.packet.invalid, and pushAll writes nothing', async () => {
  const { url } = await useRedisServer()
  const client = await useRedisClient(url)
  const producer = useProducer({ url })
  const error = await rejection(producer.pushAll('list', ['x', { type: 'cdr', payload: { call_ref: 1n } }]))
  expect(error.code).toBe('producer.packet.invalid')
  expect(await client.lLen('list')).toBe(0)
})

test('close completes writes that are under way, and later writes are rejected', async () => {
  const { url } = await useRedisServer()
  const client = await useRedisClient(url)
  const producer = createProducer({ url })
  const before = producer.push('list', 'x')
  await producer.close()
  expect(await before).toBe(1)
  expect((await rejection(producer.push('list', 'y'))).code).toBe('producer.connection.closed')
  expect(await client.lLen('list')).toBe(1)
})
