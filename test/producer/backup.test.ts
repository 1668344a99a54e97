import { appendFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createProducer, ProducerError, type BackupOptions, type Producer } from '../../src/producer/index.ts'
import { captureLog } from '../support/log.ts'
import { useProxy } from '../support/proxy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'

const LIST = 'enigma:notifications:campaigns'
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, at) => String(from + at))

/** A Redis that can be away, and producers with one folder. */
async function useStreet() {
  const redis = await useRedisServer()
  const [client, proxy, folder] = [await useRedisClient(redis.url), await useProxy(redis.port), await useFolder()]
  return {
    redis,
    client,
    folder,
    away: () => {
      proxy.state.refuse = true
      proxy.cut()
    },
    back: () => (proxy.state.refuse = false),
    proxy,
    produce: (
      own: Partial<BackupOptions> = {},
      timeoutMs = 2_000,
      chunkPackets = 500,
    ): Producer & { coded: ReturnType<typeof captureLog>['coded'] } => {
      const { log, coded } = captureLog()
      const producer = createProducer({
        url: `redis://127.0.0.1:${proxy.port}`,
        timeoutMs,
        chunkPackets,
        backup: { folder, log, ...own },
      })
      onTestFinished(() => producer.close())
      return Object.assign(producer, { coded })
    },
    /** As a relay takes them: the oldest first. */
    pushed: async (key = LIST) => (await client.lRange(key, 0, -1)).toReversed(),
    filesOf: async () => (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).toSorted(),
  }
}

const pushEach = (producer: Producer, packets: readonly string[], key = LIST) =>
  Promise.all(packets.map((packet) => producer.push(key, packet)))

test('while Redis accepts packets, the backup stays empty, and push returns the length of the list', async () => {
  const { produce, pushed, filesOf } = await useStreet()
  const producer = produce()
  expect(await pushEach(producer, numbers(5))).toEqual([1, 2, 3, 4, 5])
  expect(await producer.pushAll(LIST, numbers(1_200, 5))).toBe(1_205)
  expect(await pushed()).toEqual(numbers(1_205))
  expect([producer.backup?.pending, await filesOf()]).toEqual([0, []])
  await producer.backup?.drained()
})

test('push stores a packet on disk if Redis is down; once Redis is back, stored packets are pushed before newer ones', async () => {
  const { produce, away, back, pushed, filesOf, folder } = await useStreet()
  const producer = produce()
  await pushEach(producer, numbers(10))
  away()
  expect(await pushEach(producer, numbers(500, 10))).toEqual(Array.from({ length: 500 }, () => 0))
  expect(producer.backup?.pending).toBe(500)
  const [file = ''] = await filesOf()
  expect(
    (await readFile(join(folder, file), 'utf8'))
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { text: string }).text),
  ).toEqual(numbers(500, 10))
  expect((await stat(join(folder, file))).mode & 0o777).toBe(0o600)
  back()
  // These packets are pushed during the drain, and still follow the stored ones.
  await pushEach(producer, numbers(500, 510))
  await producer.backup?.drained()
  expect(await pushed()).toEqual(numbers(1_010))
  expect([producer.backup?.pending, await filesOf()]).toEqual([0, []])
  expect(await producer.push(LIST, '1010')).toBe(1_011)
  expect(producer.coded('producer.backup.drained')).toMatchObject([{ packets: 1_000 }])
})

test('a lost answer of Redis duplicates no packet, whether it was pushed directly or from the files', async () => {
  const { produce, proxy, pushed } = await useStreet()
  const producer = produce({}, 300)
  await pushEach(producer, numbers(10))
  for (let round = 1; round <= 4; round++) {
    proxy.state.holdAnswers = true
    const pushing = pushEach(producer, numbers(100, round * 100))
    await new Promise((resolve) => setTimeout(resolve, 400))
    proxy.cut()
    proxy.state.holdAnswers = false
    await pushing
    if (round % 2 === 0) await producer.backup?.drained()
  }
  await producer.backup?.drained()
  expect(await pushed()).toEqual([...numbers(10), ...numbers(400, 100)])
})

test('a delayed command that reaches Redis after its packets were pushed again has no effect', async () => {
  const { produce, proxy, client, pushed } = await useStreet()
  const producer = produce({}, 300)
  await pushEach(producer, numbers(10))
  proxy.state.failAt = { words: '"late"', how: 'late' }
  expect(await producer.push(LIST, '"late"')).toBe(0)
  proxy.state.failAt = undefined
  await producer.backup?.drained()
  await pushEach(producer, numbers(10, 10))
  const done = async () => Number(/cmdstat_eval:calls=(\d+)/.exec(await client.info('commandstats'))?.[1])
  const before = await done()
  expect(proxy.deliver()).toBe(1)
  await waitFor(async () => (await done()) > before, 'the late command to be run')
  expect(await pushed()).toEqual([...numbers(10), '"late"', ...numbers(10, 10)])
})

test('a producer first pushes the packets that the previous one left in the files', async () => {
  const { produce, away, back, pushed, filesOf } = await useStreet()
  away()
  const former = produce({ maxFileBytes: 4_000 })
  for (let at = 0; at < 300; at += 50) await pushEach(former, numbers(50, at))
  const waiting = expect(former.backup?.drained()).rejects.toMatchObject({ code: 'producer.connection.closed' })
  await former.close()
  await waiting
  expect((await filesOf()).length).toBeGreaterThan(3)
  back()
  const next = produce({ maxFileBytes: 4_000 })
  expect(next.backup?.pending).toBe(300)
  await pushEach(next, numbers(10, 300))
  await next.backup?.drained()
  expect(await pushed()).toEqual(numbers(310))
  expect(await filesOf()).toEqual([])
})

test.each([
  ['Redis has lost the position', 'note'],
  ['the process died before it stored the position in the folder', 'state'],
] as const)('no packet is pushed twice from the files if %s', async (_what, lost) => {
  const { produce, away, back, pushed, client, folder, proxy } = await useStreet()
  const state = join(folder, 'state.json')
  away()
  const former = produce()
  await pushEach(former, numbers(200))
  await former.close()
  const before = await readFile(state)
  // Half of them go; then the connection is cut whenever the next ones are sent.
  proxy.state.failAt = { words: '$3\r\n100\r\n', how: 'cut' }
  back()
  const half = produce({}, 2_000, 50)
  await waitFor(async () => (await pushed()).length === 100 && proxy.state.failures > 1, 'half of them to be pushed')
  await half.close()
  proxy.state.failAt = undefined
  if (lost === 'note') expect(await client.del(await client.keys('enigma:producer:*'))).toBe(1)
  else await writeFile(state, before)
  const last = produce()
  await last.backup?.drained()
  expect(await pushed()).toEqual(numbers(200))
})

test('an incomplete last line and a damaged line are moved to a .damaged file and logged; all other packets are pushed', async () => {
  const { produce, away, back, pushed, filesOf, folder } = await useStreet()
  away()
  const former = produce()
  await pushEach(former, numbers(100))
  await former.close()
  const [file = ''] = await filesOf()
  const lines = (await readFile(join(folder, file), 'utf8')).split('\n')
  lines[40] = String(lines[40]).replace('"text":"40"', '"text":"41"')
  await writeFile(join(folder, file), lines.join('\n'))
  await appendFile(join(folder, file), '{"n":101,"at":"2026-01-31T08:00:00.000Z","transport":"li')
  back()
  const next = produce()
  await pushEach(next, numbers(1, 100))
  await next.backup?.drained()
  expect(await pushed()).toEqual(numbers(101).filter((text) => text !== '40'))
  expect((await readFile(join(folder, `${file}.damaged`), 'utf8')).split('\n').filter((line) => line !== '')).toEqual([
    lines[40],
    expect.stringContaining('"transport":"li'),
  ])
  expect(next.coded('producer.backup.line_damaged')).toHaveLength(2)
})

test('invalid UTF-8, emoji and line ends are pushed from the files unchanged', async () => {
  const { produce, away, back, client } = await useStreet()
  away()
  const producer = produce()
  const packets = [
    Uint8Array.of(0xff, 0x00, 0x0a, 0xfe),
    '{"a":"\u{1f600}\\n"}\n',
    '',
    Buffer.from('x\u2028y'),
    'z'.repeat(700_000),
  ]
  for (const packet of packets) await producer.push(LIST, packet)
  back()
  await producer.backup?.drained()
  const wires = (await client.sendCommand(['LRANGE', LIST, '0', '-1'], {
    typeMapping: { 36: Buffer },
  })) as unknown as Buffer[]
  expect(wires.toReversed().map((wire) => Buffer.from(wire).toString('hex'))).toEqual(
    packets.map((packet) => Buffer.from(packet as string).toString('hex')),
  )
})

test('a Pub/Sub packet is not kept in the backup, unless the option names its key', async () => {
  const { produce, away, back, redis } = await useStreet()
  const listener = await useRedisClient(redis.url)
  const heard: string[] = []
  await listener.pSubscribe('enigma:*', (message) => void heard.push(message))
  const producer = produce({ pubsub: (key) => key.includes(':campaigns:') })
  expect(await producer.publish('enigma:notifications:campaigns:7', 'first')).toBe(1)
  away()
  await expect(producer.publish('enigma:notifications:agents:1', 'call')).rejects.toMatchObject({
    code: 'producer.write.not_taken',
  })
  expect(await producer.publish('enigma:notifications:campaigns:7', 'kept')).toBe(0)
  back()
  await producer.backup?.drained()
  await waitFor(() => heard.length === 2, 'both')
  expect(heard).toEqual(['first', 'kept'])
})

test('a key that is not a list delays only its own packets, and keeps their order', async () => {
  const { produce, client, pushed } = await useStreet()
  const producer = produce()
  await client.set('odd', 'text')
  await pushEach(producer, numbers(3), 'odd')
  for (let n = 0; n < 30; n++)
    await Promise.all([producer.push(LIST, `good ${n}`), producer.push('odd', String(3 + n))])
  await waitFor(async () => (await pushed()).length === 30, 'the good ones')
  expect(await pushed()).toEqual(Array.from({ length: 30 }, (_, n) => `good ${n}`))
  await client.del('odd')
  await producer.backup?.drained()
  expect(await pushed('odd')).toEqual(numbers(33))
  expect(producer.coded('producer.key.refused')).toMatchObject([{ key: 'odd' }])
})

test('two producers cannot share a folder, and an unusable folder is rejected', async () => {
  const { produce, folder } = await useStreet()
  const first = produce()
  expect(() => produce()).toThrow(
    expect.objectContaining({
      code: 'producer.backup.locked',
      message: expect.stringContaining(folder) as string,
    }) as Error,
  )
  await first.close()
  await produce().close()
  const file = join(folder, 'a-file')
  await writeFile(file, '')
  expect(() => produce({ folder: file })).toThrow(
    expect.objectContaining({ code: 'producer.backup.unusable' }) as Error,
  )
})

test('no packet is lost if Redis is out of memory or does not allow scripts', async () => {
  const { produce, client, pushed, redis } = await useStreet()
  const producer = produce()
  await client.sendCommand(['CONFIG', 'SET', 'maxmemory', '1'])
  expect(await pushEach(producer, numbers(50))).toEqual(Array.from({ length: 50 }, () => 0))
  await client.sendCommand(['CONFIG', 'SET', 'maxmemory', '0'])
  await producer.backup?.drained()
  await producer.close()
  await client.sendCommand(['ACL', 'SETUSER', 'bare', 'on', '>secret', '~*', '&*', '+@all', '-@scripting'])
  const bare = createProducer({
    url: redis.url.replace('redis://', 'redis://bare:secret@'),
    backup: { folder: await useFolder() },
  })
  onTestFinished(() => bare.close())
  await pushEach(bare, numbers(50, 50))
  await bare.backup?.drained()
  expect(await pushed()).toEqual(numbers(100))
})

test('push rejects a packet that can be neither pushed nor kept, with the fix; another producer’s kept packet is safe', async () => {
  const { produce, away, folder } = await useStreet()
  away()
  const producer = produce()
  await producer.push(LIST, 'kept')
  // The next file cannot be created, because the folder is gone.
  const other = produce({ folder: join(folder, 'deep') })
  await rm(join(folder, 'deep'), { recursive: true })
  const error = (await other.push(LIST, '{"number":"27821234567"}').catch((reason: unknown) => reason)) as ProducerError
  expect(error).toBeInstanceOf(ProducerError)
  expect(error).toMatchObject({
    code: 'producer.backup.not_kept',
    taken: 0,
    message: expect.stringContaining('write it again') as string,
  })
  expect(error.message).not.toContain('27821234567')
  expect(producer.backup?.pending).toBe(1)
})
