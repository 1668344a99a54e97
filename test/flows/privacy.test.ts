import { createStore } from 'enigma-relay/store'
import { Hono } from 'hono'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test, vi } from 'vitest'
import { fromSqs } from '../../src/adapter/index.ts'
import { createApi } from '../../src/api/index.ts'
import { loadFunctions } from '../../src/local/street/street-functions.ts'
import { formatPacket } from '../../src/protocol/index.ts'
import { runCli } from '../cli/run.ts'
import { readAccepted } from '../support/accepted.ts'
import { CAMPAIGNS } from '../support/load.ts'
import { expectPrivate } from '../support/privacy.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useRelay, waitFor } from '../support/relay.ts'
import { useSqs } from '../support/sqs.ts'
import { useStore } from '../support/store.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'
import { useTrigger } from '../support/triggers.ts'
import { useFunctionEnv } from '../support/env.ts'
import { routeOf, ROUTES } from '../support/routes.ts'

const NUMBER = '27829998877'
const PERSON = {
  number: NUMBER,
  dial_number: '0829998877',
  contact_ref: 'C-PRIVATE-77',
  recording_url: 'https://r.example/private-recording.wav',
  callees: [{ number: NUMBER, contact_ref: 'C-PRIVATE-77' }],
}
const PASSWORD = 'secret-of-the-test-of-32-characters'

/** Packets with personal data in every part of the packet and its key. */
const PACKETS: readonly (readonly [key: string, packet: string | Buffer])[] = [
  [
    'enigma:notifications:agents:1002',
    formatPacket({ type: 'call', payload: { ...PERSON, ref: '1002', call_ref: '1' } }),
  ],
  [`enigma:notifications:agents:${NUMBER}`, formatPacket({ type: 'status', payload: { ...PERSON, status: 'busy' } })],
  [`enigma:notifications:${NUMBER}:x`, formatPacket({ type: 'status', payload: PERSON })],
  ['enigma:notifications:agents:1002', formatPacket({ type: NUMBER, payload: PERSON })],
  ['enigma:notifications:agents:1002', `{"type":"call","payload":{"number":"${NUMBER}","contact_ref":"C-PRIVATE-77"`],
  ['enigma:notifications:agents:1002', NUMBER],
  [
    'enigma:notifications:agents:1002',
    Buffer.concat([
      Buffer.from(`{"type":"call","payload":{"number":"${NUMBER}`),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}}'),
    ]),
  ],
  // Payloads that do not match the schema, whose error describes the fault.
  [
    'enigma:notifications:agents:1002',
    formatPacket({ type: 'status', payload: { status: { number: NUMBER }, contact_ref: ['C-PRIVATE-77'] } }),
  ],
  ['enigma:notifications:agents:1002', formatPacket({ type: 'call', payload: NUMBER })],
  ['enigma:notifications:campaigns:7', formatPacket({ type: 'dial_preview', payload: { callees: PERSON } })],
  ['enigma:notifications:campaigns:7', formatPacket({ type: 'dial_preview', payload: PERSON })],
]

/** Returns the lines that this process writes to the console, which stay out of the output of the test. */
function useConsole(): string[] {
  const lines: string[] = []
  const spies = (['log', 'info', 'warn', 'error', 'debug'] as const).map((level) =>
    vi.spyOn(console, level).mockImplementation((...args: unknown[]) => void lines.push(args.map(String).join(' '))),
  )
  onTestFinished(() => spies.forEach((spy) => spy.mockRestore()))
  return lines
}

test(
  'no personal data or secret is in the relay’s log, notices, HTTP pages or CLI output, even when SQS quotes packets',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs] = [
      await useRedisServer({ args: ['--requirepass', PASSWORD] }),
      await useSqsFaults({ maxBytes: 20_000 }),
    ]
    const redisUrl = redis.url.replace('redis://', `redis://:${PASSWORD}@`)
    const client = await useRedisClient(redisUrl)
    // SQS quotes messages that it rejects and requests that fail.
    let calls = 0
    sqs.state.answer = () => {
      calls++
      if (calls % 7 === 0) return { status: 500, code: `Internal ${NUMBER}` }
      return {
        fail: ({ MessageBody }) =>
          MessageBody.includes('"n":-1')
            ? {
                Code: 'InvalidMessageContents',
                SenderFault: true,
                Message: `cannot take ${MessageBody.slice(Math.max(0, MessageBody.indexOf('"payload"')))}`,
              }
            : undefined,
      }
    }
    const env = { ENIGMA_LOG_LEVEL: 'trace', AWS_SECRET_ACCESS_KEY: PASSWORD }
    const relay = await useRelay({ redisUrl, endpoint: sqs.endpoint, lists: [CAMPAIGNS], env })
    for (const [key, packet] of PACKETS) {
      await client.publish(key, packet)
      await client.lPush(CAMPAIGNS, packet)
    }
    await client.lPush(CAMPAIGNS, formatPacket({ type: 'cdr', payload: { ...PERSON, call_ref: 9, n: -1 } }))
    const filler = Array.from({ length: 60_000 }, () => Math.random().toString(36)[4]).join('')
    await client.lPush(CAMPAIGNS, formatPacket({ type: 'cdr', payload: { ...PERSON, call_ref: 10, filler } }))
    await waitFor(async () => (await client.lLen('enigma:relay:parked')) === 2, 'two to be parked', 20_000)
    await waitFor(
      async () => (await readAccepted(sqs, 'enigma-other.fifo')).length > 5 && (await client.lLen(CAMPAIGNS)) === 0,
      'the rest to be sent',
    )
    // The notices of parked notifications have no personal data either, although SQS quoted one packet.
    const told = async () => (await readAccepted(sqs, 'enigma-relay-parked.fifo')).map(({ data }) => String(data))
    await waitFor(async () => (await told()).length === 2, 'the cloud to be told')
    expect((await told()).join('\n')).toContain('cannot take')
    expectPrivate(await told(), 'what the cloud is told')
    const pages = await Promise.all(
      ['/metrics', '/readyz', '/livez'].map(async (path) => (await fetch(relay.address + path)).text()),
    )
    expectPrivate(pages, 'a page of the relay')
    const cli = {
      ENIGMA_SOURCES: `main=${redisUrl}`,
      ENIGMA_LISTS: CAMPAIGNS,
      AWS_ENDPOINT_URL_SQS: sqs.endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: PASSWORD,
    }
    for (const args of [
      ['parked'],
      ['parked', '--json'],
      ['parked', '--retry', '--all'],
      ['doctor'],
      ['doctor', '--json'],
    ]) {
      const { stdout, stderr } = await runCli(args, cli)
      expect(stdout.length + stderr.length).toBeGreaterThan(20)
      expectPrivate([stdout, stderr], `enigma-relay ${args.join(' ')}`)
    }
    expect(relay.lines.length).toBeGreaterThan(5)
  },
)

test(
  'no personal data or secret is in the logs of functions and API or in its answers, even when Upstash quotes requests',
  { timeout: 60_000 },
  async () => {
    const [redis, sqs] = [await useRedisServer(), await useSqs()]
    const client = await useRedisClient(redis.url)
    // An Upstash that quotes each request in its answer.
    const upstash = createServer((request, response) => {
      let body = ''
      request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
      request.on('end', () =>
        response.writeHead(400, { 'content-type': 'application/json' }).end(
          JSON.stringify({
            error: `ERR cannot run ${body.slice(-3_000)} for ${NUMBER} ${request.headers.authorization}`,
          }),
        ),
      )
    })
    await new Promise<void>((resolve) => upstash.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void upstash.close())
    const url = `http://127.0.0.1:${(upstash.address() as AddressInfo).port}`
    useFunctionEnv({ url }, sqs, { UPSTASH_REDIS_REST_TOKEN: PASSWORD, AWS_SECRET_ACCESS_KEY: PASSWORD })
    // An earlier test may have loaded the functions, which read their environment once.
    vi.resetModules()
    const lines = useConsole()

    await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [CAMPAIGNS] })
    let invocations = 0
    for (const [{ name }, handler] of await loadFunctions(new URL('../../', import.meta.url), ROUTES)) {
      await useTrigger(sqs, name, handler, { timeoutMs: 5_000, onInvocation: () => void invocations++ })
    }
    for (const [key, packet] of PACKETS) await client.publish(key, packet)
    await client.lPush(
      CAMPAIGNS,
      formatPacket({
        type: 'cdr',
        payload: { ...PERSON, call_ref: 9, dialed_at: Math.floor(Date.now() / 1_000), end_reason: 'hungup' },
      }),
    )
    await waitFor(
      () => invocations > 8 && lines.some((line) => line.includes('adapter.commit.failed')),
      'the functions to fail',
      20_000,
    )

    const store = createStore({ url, token: PASSWORD })
    const app = createApi({ read: store.read, token: PASSWORD })
    for (const path of ['/agents', `/agents/${NUMBER}`, `/cdrs?number=${NUMBER}`, `/cdrs/${NUMBER}`, '/health']) {
      const response = await app.request(path, { headers: { authorization: `Bearer ${PASSWORD}` } })
      expect(response.status).toBeGreaterThanOrEqual(400)
      expectPrivate([await response.text()], `the answer to ${path}`)
    }
    const refused = await app.request('/agents', { headers: { authorization: 'Bearer wrong' } })
    expectPrivate([await refused.text()], 'a refusal')
    expect(lines.length).toBeGreaterThan(5)
    expectPrivate(lines, 'the log of the functions and the API')
  },
)

test('no personal data is in the log or in the reason of a parked entry when a handler throws it', async () => {
  const [redis, sqs, { store, proxy }] = [await useRedisServer(), await useSqs(), await useStore()]
  useFunctionEnv(proxy, sqs, { AWS_SECRET_ACCESS_KEY: PASSWORD })
  vi.resetModules()
  const { wire } = await import('../../src/lambda/wiring.ts')
  const lines = useConsole()
  const app = new Hono().post('/agents/call/:ref?', async (c) => {
    throw new Error(`the CRM rejected ${await c.req.text()}`)
  })
  await useTrigger(sqs, 'agents-call', fromSqs(app, { ...wire(routeOf('agents', 'call')), attempts: 1 }))
  await useRelay({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: [] })
  await (await useRedisClient(redis.url)).publish(...(PACKETS[0] as [string, string]))
  const parked = async () => (await store.read.parked({ limit: 2 })).items
  await waitFor(async () => (await parked()).length === 1, 'the call to be parked')
  expect(await parked()).toMatchObject([{ reason: expect.stringContaining('the CRM rejected') as string }])
  expectPrivate([JSON.stringify(await parked())], 'the parked entry')
  expect(lines.join('\n')).toContain('the CRM rejected')
  expectPrivate(lines, 'the log of the function')
})
