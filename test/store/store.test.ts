import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { Hono } from 'hono'
import { event, fromSqs, record, type AdapterEnv, type LogLine } from '../../src/adapter/index.ts'
import type { Parked } from '../../src/protocol/index.ts'
import { startUpstashProxy } from '../../src/local/upstash-proxy.ts'
import { AgentCall } from '../../src/protocol/index.ts'
import { agentCall, agentStatus, createStore, StoreError, type Effect } from '../../src/store/index.ts'
import { notification, RECEIVED, sqsEvent, sqsRecord } from '../adapter/factories.ts'
import { useRedisClient } from '../support/redis.ts'
import { commitTo } from '../support/commit.ts'
import { useStore } from '../support/store.ts'
import { toEvent } from './events.ts'

const call = agentCall(toEvent('agents', 'call', '1002', { call_ref: '7', number: '27821234567' }, 1))
const NONE = new Map<string, string[]>()

async function useHttp(status: number, body: string, hang = false): Promise<string> {
  const server = createServer((_, response) => {
    if (!hang) response.writeHead(status).end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const failure = async (url: string, token = 'test-token'): Promise<StoreError> => {
  const store = createStore({ url, token, timeoutMs: 300, tries: 2 })
  return store.commit({ effects: [call], done: NONE }).then(
    () => Promise.reject(new Error('it was taken')),
    (error: unknown) => error as StoreError,
  )
}

test('a batch is one request, and so is a recall', async () => {
  const { store, proxy } = await useStore()
  await store.commit({
    effects: Array.from({ length: 4 }, () => call),
    done: new Map([
      ['m1', ['a', 'b']],
      ['m2', ['c']],
    ]),
  })
  expect(proxy.seen.requests).toBe(1)
  await store.recall(['m1', 'm2', 'm3'])
  expect(proxy.seen.requests).toBe(2)
})

test('a batch that would block the database for long is committed in several requests, in order', async () => {
  const { store, proxy } = await useStore()
  const effects = Array.from({ length: 250 }, (_, at) =>
    agentStatus(toEvent('agents', 'status', '1002', { status: `s${at}`, campaign_ref: 'c1' }, at)),
  )
  await store.commit({ effects, done: NONE })
  expect(proxy.seen.requests).toBe(9)
  expect(await store.read.agent('1002')).toMatchObject({ states: [{ status: 's249' }] })
})

test('a large batch goes in several requests, each under the limit', async () => {
  const { store, proxy } = await useStore({ maxRequestBytes: 100_000 })
  await store.commit({
    effects: Array.from({ length: 500 }, (_, at) =>
      agentCall(toEvent('agents', 'call', String(at), { call_ref: String(at) }, at)),
    ),
    done: NONE,
  })
  expect(proxy.seen.requests).toBeGreaterThan(2)
  expect(proxy.seen.largestBytes).toBeLessThan(100_000)
  expect((await store.read.agents({ limit: 500 })).items).toHaveLength(500)
})

test('errors have a code and say whether to retry, and contain neither the command nor a token', async () => {
  const { proxy } = await useStore()
  const wrongToken = await failure(proxy.url, 'secret-wrong')
  expect(wrongToken).toMatchObject({ code: 'store.upstash.unauthorized', retryable: false })
  const refused = await failure('http://127.0.0.1:1')
  expect(refused).toMatchObject({ code: 'store.upstash.unreachable', retryable: true })
  const hanging = await failure(await useHttp(200, '', true))
  expect(hanging).toMatchObject({ code: 'store.upstash.timeout', retryable: true })
  const throttled = await failure(await useHttp(429, '{"error":"ERR rate limit exceeded, command was: 27821234567"}'))
  expect(throttled).toMatchObject({ code: 'store.upstash.throttled', retryable: true })
  // A retry would be as large.
  const large = await failure(
    await useHttp(413, '{"error":"ERR max request size exceeded. Limit: 1048576 bytes, Actual: 1048577 bytes"}'),
  )
  expect(large).toMatchObject({ code: 'store.upstash.too_large', retryable: false })
  const broken = await failure(await useHttp(500, '<html>27821234567</html>'))
  expect(broken.retryable).toBe(true)
  for (const error of [wrongToken, refused, hanging, throttled, large, broken]) {
    expect(error).toBeInstanceOf(StoreError)
    expect(`${error.message} ${String(error.cause)}`).not.toMatch(/27821234567|secret-wrong|test-token/)
  }
})

test("an error quotes the database's message, without the command and without personal data", async () => {
  const words = async (status: number, error: string) => failure(await useHttp(status, JSON.stringify({ error })))
  expect(await words(400, 'ERR DB capacity quota exceeded')).toMatchObject({
    code: 'store.upstash.full',
    retryable: false,
    message: expect.stringContaining('ERR DB capacity quota exceeded') as string,
  })
  expect(await words(400, 'ERR max requests limit exceeded. Limit: 500000, Usage: 500000')).toMatchObject({
    code: 'store.upstash.throttled',
    message: expect.stringContaining('ERR max requests limit exceeded') as string,
  })
  expect(await words(400, 'ERR max member size exceeded. Limit: 32768 bytes, Actual: 40000 bytes')).toMatchObject({
    code: 'store.upstash.too_large',
    message: expect.stringContaining('max member size exceeded') as string,
  })
  const odd = await words(400, "ERR unknown command 'X', with args beginning with: 'Mrs Miller' near 27821234567")
  expect(odd).toMatchObject({ code: 'store.upstash.refused' })
  expect(odd.message).toContain("ERR unknown command 'X'")
  expect(odd.message).not.toMatch(/Miller|27821234567|apply\.|EVAL/)
})

test("anything but the script's own reply is a failure", async () => {
  for (const body of [
    '{"result":null}',
    '{"result":"OK"}',
    '{"result":1}',
    '{"result":[]}',
    '{}',
    'null',
    '[]',
    '""',
    '',
    '<p>',
  ])
    expect([body, await failure(await useHttp(200, body))]).toMatchObject([
      body,
      { code: 'store.upstash.unexpected_reply' },
    ])
  const reads = createStore({ url: await useHttp(200, '{"result":null}'), token: 't', tries: 1 }).read
  await expect(reads.agents()).rejects.toMatchObject({ code: 'store.upstash.unexpected_reply' })
  await expect(reads.ping()).rejects.toMatchObject({ code: 'store.upstash.unexpected_reply' })
})

test('without an address it says which variables to set', () => {
  for (const [address, name] of [
    [{ url: '', token: 'x' }, 'UPSTASH_REDIS_REST_URL'],
    [{ url: 'https://x.example.com', token: '' }, 'UPSTASH_REDIS_REST_TOKEN'],
  ] as const)
    expect(() => createStore(address)).toThrow(
      expect.objectContaining({
        code: 'store.address.missing',
        message: expect.stringContaining(name) as string,
      }) as Error,
    )
})

test('the address is requested again if its token is rejected, and a new token is tried once', async () => {
  const { proxy } = await useStore()
  const asked: (string | undefined)[] = []
  let token = 'former-token'
  const store = createStore({
    address: (refused) => {
      asked.push(refused)
      if (refused === 'former-token') token = 'test-token'
      return Promise.resolve({ url: proxy.url, token })
    },
  })
  await store.commit({ effects: [call], done: NONE })
  expect(asked).toEqual([undefined, 'former-token'])
  expect((await store.read.agent('1002'))?.call).toMatchObject({ call_ref: '7' })
  expect(asked).toEqual([undefined, 'former-token', undefined])
  const stubborn = createStore({ address: () => Promise.resolve({ url: proxy.url, token: 'wrong' }) })
  await expect(stubborn.read.ping()).rejects.toMatchObject({ code: 'store.upstash.unauthorized' })
  await expect(
    createStore({ address: () => Promise.resolve({ url: '', token: '' }) }).read.ping(),
  ).rejects.toMatchObject({ code: 'store.address.missing' })
})

test('the script is sent once, and again after the database has lost it', async () => {
  const { store, proxy, redis } = await useStore()
  const client = await useRedisClient(redis.url)
  const calls = async (name: string) =>
    Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(await client.info('commandstats'))?.[1] ?? 0)
  for (let n = 0; n < 5; n++) await store.commit({ effects: [call], done: NONE })
  expect([await calls('eval'), await calls('evalsha'), proxy.seen.requests]).toEqual([1, 4, 5])
  await client.scriptFlush()
  await store.commit({ effects: [call], done: NONE })
  await store.commit({ effects: [call], done: NONE })
  expect([await calls('eval'), proxy.seen.requests]).toEqual([2, 8])
  // If the database loses the script each time, the store stops asking for it by its digest.
  for (let n = 0; n < 6; n++) {
    await client.scriptFlush()
    await store.commit({ effects: [call], done: NONE })
  }
  expect(proxy.seen.requests).toBe(8 + 2 * 2 + 4)
  expect((await store.read.agent('1002'))?.call).toMatchObject({ call_ref: '7' })
})

test("while the database is full, handlers run once, a call is parked once, and the log quotes the database's message", async () => {
  const { redis, proxy } = await useStore({ proxy: { maxDataBytes: 1 } })
  const roomy = await startUpstashProxy({ redisUrl: redis.url, token: 'test-token' })
  onTestFinished(() => roomy.stop())
  let [url, nowMs] = [proxy.url, Date.parse(RECEIVED)]
  const store = createStore({ address: () => Promise.resolve({ url, token: 'test-token' }), now: () => nowMs })
  const [steps, parked, lines]: [string[], Parked[], LogLine[]] = [[], [], []]
  const app = new Hono<AdapterEnv<Effect>>()
  app.post('/agents/call/:ref', async (c) => {
    const { reference = '', ...callPayload } = await event(c, AgentCall)
    record(c, agentCall({ ...callPayload, reference }))
    steps.push(reference)
    return reference === 'poison' ? c.text('no such agent', 422) : c.body(null, 204)
  })
  const handler = fromSqs<Effect>(app, {
    commit: commitTo(store, (one) => parked.push(one)),
    recall: (ids) => store.recall(ids),
    postpone: async () => undefined,
    attempts: 50,
    now: () => nowMs,
    log: (line) => void lines.push(line),
  })
  const own = { type: 'enigma.agents.call', payload: { call_ref: 7, number: '27821234567' } }
  const batch = (receiveCount: number) =>
    sqsEvent(sqsRecord([notification('1002', 1, own), notification('poison', 2, own)], { receiveCount }))
  for (let attempt = 1; attempt <= 5; attempt++) {
    expect((await handler(batch(attempt))).batchItemFailures).toHaveLength(1)
    nowMs += 60_000
  }
  url = roomy.url
  expect(await handler(batch(6))).toEqual({ batchItemFailures: [] })
  expect([steps, parked.length]).toEqual([['1002', 'poison'], 1])
  const failed = lines.filter(({ code }) => code === 'adapter.commit.failed')
  expect(failed.map(({ error }) => error)).toEqual(
    Array.from({ length: 5 }, () => expect.stringContaining('ERR DB capacity quota exceeded') as string),
  )
  // The call is five minutes old by now: it is recorded and does not pop.
  expect(await store.read.agent('1002')).toMatchObject({ call: null, calls: [{ call_ref: '7', stale: true }] })
})
