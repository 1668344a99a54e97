import { GetQueueUrlCommand, SendMessageBatchCommand, SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs'
import type { ServerResponse } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { createOutages } from '../../../src/relay/sender/back-pressure.ts'
import { createHttpHandler } from '../../../src/relay/targets/http-handler.ts'
import { createBatchClient, type BatchClient } from '../../../src/relay/targets/sqs/sqs-client.ts'
import { createSqsTarget } from '../../../src/relay/targets/sqs/sqs-target.ts'
import { captureLog } from '../../support/log.ts'
import { makeParcels } from '../../support/parcels.ts'
import { signByReference } from '../../support/reference-signature.ts'
import { waitFor } from '../../support/relay.ts'
import { useWireServer } from '../../support/wire-server.ts'
import { withEnv } from '../../support/env.ts'
import { routeOf } from '../../support/routes.ts'

/** A request, as it would leave. */
type Leaving = { readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly body?: unknown }
type Sent = Leaving & { readonly origin: string }

/** A request as the SDK hands it to its handler. */
type SdkRequest = Leaving & {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly query: object
}

const never = new AbortController().signal

const KEY = { accessKeyId: 'AKIDONE', secretAccessKey: 'secret-of-one' }

/** The SDK and our client with one configuration. Their requests are recorded and answered with these headers, not sent. */
function useCapture(config: SQSClientConfig) {
  const sent: Sent[] = []
  const rejected: unknown[] = []
  const answer = { statusCode: 200, headers: {} as Record<string, string>, text: '{}' }
  // The SDK puts another body into what it is given.
  const reply = () => ({ ...answer, headers: { ...answer.headers }, body: Buffer.from(answer.text) })
  const requestHandler = {
    handle: ({ protocol, hostname, port, query, path, ...request }: SdkRequest) => {
      const origin = `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`
      sent.push({ ...request, origin, path: path + Object.keys(query).join('&') })
      return Promise.resolve({ response: reply() })
    },
  }
  const sqs = new SQSClient({ credentials: KEY, useQueueUrlAsEndpoint: false, md5: false, ...config, requestHandler })
  onTestFinished(() => sqs.destroy())
  const client = createBatchClient({
    sqs,
    onRejected: (error) => void rejected.push(error),
    http: {
      send: (origin, request) => {
        sent.push({ ...request, origin })
        return Promise.resolve(reply())
      },
    },
  })
  return {
    sqs,
    sent,
    answer,
    rejected,
    find: () => sqs.send(new GetQueueUrlCommand({ QueueName: 'q.fifo' })),
    bySdk: () => sqs.send(new SendMessageBatchCommand({ QueueUrl: 'https://a/1/q.fifo', Entries: [] })),
    byOwn: () => client.send(Buffer.from('{}'), never, 1_000),
  }
}

const whereTo = ({ origin, path, headers }: Sent) => {
  const scope = /Credential=[^/]*\/\d*\/([^,]*)/.exec(headers['authorization'] ?? '')?.[1]
  return { origin, path, host: headers['host'], scope }
}

/** Returns where the SDK and our own client send requests with this configuration. */
async function compare(config: SQSClientConfig) {
  const { find, bySdk, byOwn, sent } = useCapture(config)
  await find()
  await bySdk()
  await byOwn()
  const [, sdk, own] = sent.map(whereTo)
  return { sdk, own }
}

const REGIONS = {
  'us-east-1': 'amazonaws.com',
  'eu-west-1': 'amazonaws.com',
  'me-central-1': 'amazonaws.com',
  'cn-north-1': 'amazonaws.com.cn',
  'cn-northwest-1': 'amazonaws.com.cn',
  'us-gov-west-1': 'amazonaws.com',
  'us-gov-east-1': 'amazonaws.com',
}

test.each(Object.entries(REGIONS))('in %s our client sends to the same address as the SDK', async (region, domain) => {
  const host = `sqs.${region}.${domain}`
  const { sdk, own } = await compare({ region })
  expect(own).toEqual(sdk)
  expect(own).toEqual({ origin: `https://${host}`, path: '/', host, scope: `${region}/sqs/aws4_request` })
})

type Mode = {
  readonly env: Readonly<Record<string, string>>
  readonly config: Partial<SQSClientConfig>
  readonly inVirginia: string
}
const [FIPS, DUAL_STACK] = [{ AWS_USE_FIPS_ENDPOINT: 'true' }, { AWS_USE_DUALSTACK_ENDPOINT: 'true' }]
const MODES: Readonly<Record<string, Mode>> = {
  FIPS: { env: FIPS, config: { useFipsEndpoint: true }, inVirginia: 'sqs-fips.us-east-1.amazonaws.com' },
  'dual stack': { env: DUAL_STACK, config: { useDualstackEndpoint: true }, inVirginia: 'sqs.us-east-1.api.aws' },
  'FIPS and dual stack': {
    env: { ...FIPS, ...DUAL_STACK },
    config: { useFipsEndpoint: true, useDualstackEndpoint: true },
    inVirginia: 'sqs-fips.us-east-1.api.aws',
  },
}

test.each(Object.entries(MODES))(
  'with %s our client sends to the same address as the SDK, in every partition',
  async (_name, { env, config, inVirginia }) => {
    for (const region of Object.keys(REGIONS)) {
      const byConfig = await compare({ region, ...config })
      expect(byConfig.own).toEqual(byConfig.sdk)
      expect(byConfig.own?.scope).toBe(`${region}/sqs/aws4_request`)
      expect(await withEnv(env, () => compare({ region }))).toEqual(byConfig)
      if (region === 'us-east-1') expect(byConfig.own?.host).toBe(inVirginia)
    }
  },
)

test.each([
  'http://127.0.0.1:4566',
  'https://sqs.test/',
  'https://sqs.test:443/a',
  'http://[::1]:4566/a/b/',
  "https://sqs.test/a b/ü/(it's)/%2F//c",
  'https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com',
])('with the endpoint %s our client sends to the same address as the SDK', async (endpoint) => {
  const { sdk, own } = await compare({ region: 'eu-west-1', endpoint })
  expect(own).toEqual(sdk)
})

test('a request to a FIPS pseudo-region is signed for the real region', async () => {
  const { sdk, own } = await compare({ region: 'fips-us-gov-west-1' })
  expect(own).toEqual(sdk)
  expect(own?.scope).toBe('us-gov-west-1/sqs/aws4_request')
})

const dateOf = ({ headers }: Leaving) =>
  Date.parse(String(headers['x-amz-date']).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'))

test('each request is signed with the current credentials', async () => {
  const keys = [KEY, { ...KEY, sessionToken: 'a' }, { accessKeyId: 'AKIDTWO', secretAccessKey: 'secret-of-two' }, KEY]
  let at = 0
  const provider = Object.assign(() => Promise.resolve(keys[at] as (typeof keys)[number]), { memoized: true })
  const { find, byOwn, sent } = useCapture({ region: 'eu-west-1', credentials: provider })
  await find()
  for (at = 0; at < keys.length; at++) {
    await byOwn()
    const { path, headers } = sent.at(-1) as Sent
    const { authorization, 'x-amz-date': _date, 'x-amz-security-token': token, ...own } = headers
    const expected = await signByReference({
      credentials: keys[at] as (typeof keys)[number],
      region: 'eu-west-1',
      service: 'sqs',
      path,
      headers: own,
      body: Buffer.from('{}'),
      timeMs: dateOf(sent.at(-1) as Sent),
    })
    expect([authorization, token]).toEqual([expected['authorization'], expected['x-amz-security-token']])
  }
})

test('without credentials nothing is sent, and the error of the provider is thrown', async () => {
  const missing = Object.assign(new Error('Could not load credentials from any providers'), {
    name: 'CredentialsProviderError',
  })
  let isThere = true
  const provider = Object.assign(() => (isThere ? Promise.resolve(KEY) : Promise.reject(missing)), { memoized: true })
  const { find, byOwn, sent } = useCapture({ region: 'eu-west-1', credentials: provider })
  await find()
  isThere = false
  await expect(byOwn()).rejects.toBe(missing)
  expect(sent).toHaveLength(1)
  isThere = true
  await byOwn()
  expect(sent).toHaveLength(2)
})

const HOUR_MS = 3_600_000
const isAheadMs = (sent: Leaving | undefined, ms: number) =>
  sent !== undefined && Math.abs(dateOf(sent) - Date.now() - ms) < 60_000

test('a clock offset that either client learns applies to both; an answer from a cache does not change it', async () => {
  const { find, bySdk, byOwn, sent, answer } = useCapture({ region: 'eu-west-1' })
  await find()
  const serverIs = (ms: number) => (answer.headers['date'] = new Date(Date.now() + ms).toUTCString())
  serverIs(HOUR_MS)
  await byOwn()
  expect(isAheadMs(sent.at(-1), 0)).toBe(true)
  await bySdk()
  expect(isAheadMs(sent.at(-1), HOUR_MS)).toBe(true)
  serverIs(-HOUR_MS)
  await bySdk()
  await byOwn()
  expect(isAheadMs(sent.at(-1), -HOUR_MS)).toBe(true)
  serverIs(0)
  answer.headers['age'] = '3600'
  for (const send of [byOwn, bySdk, byOwn]) await send()
  expect(isAheadMs(sent.at(-1), -HOUR_MS)).toBe(true)
  delete answer.headers['age']
  answer.headers['date'] = 'noon'
  for (const send of [byOwn, bySdk, byOwn]) await send()
  expect(isAheadMs(sent.at(-1), -HOUR_MS)).toBe(true)
})

test('each error answer is passed once to the code that renews the credentials', async () => {
  const { find, byOwn, answer, rejected } = useCapture({ region: 'eu-west-1' })
  await find()
  await byOwn()
  expect(rejected).toEqual([])
  Object.assign(answer, { statusCode: 403, text: '{"__type":"ExpiredToken","message":"of the test"}' })
  const error: unknown = await byOwn().catch((e: unknown) => e)
  expect(rejected).toEqual([error])
  expect(error).toMatchObject({ name: 'ExpiredToken', message: 'of the test', $metadata: { httpStatusCode: 403 } })
})

/** Our client on connections of its own, to a server. */
async function useOwn(endpoint: string, credentials: SQSClientConfig['credentials'] = KEY) {
  const http = createHttpHandler({
    proxies: { https: undefined, http: undefined, except: '' },
    requestTimeoutMs: 5_000,
  })
  const sqs = new SQSClient({
    region: 'eu-west-1',
    endpoint,
    requestHandler: http,
    ...(credentials && { credentials }),
  })
  onTestFinished(() => sqs.destroy())
  const client = createBatchClient({ sqs, http })
  await sqs.send(new GetQueueUrlCommand({ QueueName: 'q.fifo' }))
  return client
}

test('a request that is cancelled while its credentials are fetched is not sent', async () => {
  const server = await useWireServer()
  const fetched = Promise.withResolvers<typeof KEY>()
  let provide = () => Promise.resolve(KEY)
  const client = await useOwn(
    server.endpoint,
    Object.assign(() => provide(), { memoized: true }),
  )
  provide = () => fetched.promise
  const abort = new AbortController()
  const sending = client.send(Buffer.from('{}'), abort.signal, 60_000)
  abort.abort()
  fetched.resolve(KEY)
  await expect(sending).rejects.toMatchObject({ name: 'AbortError' })
  await client.send(Buffer.from('{"a":1}'), never, 5_000)
  expect(server.seen.map(({ body }) => body.toString())).toEqual(['{"a":1}'])
})

test('a request that is cancelled or times out while it waits for a connection is not sent', async () => {
  const server = await useWireServer()
  const client = await useOwn(server.endpoint)
  const held: ServerResponse[] = []
  server.state.answer = (response) => void held.push(response)
  const send = (text: string, signal = never, limitMs = 60_000) =>
    client.send(Buffer.from(`{"n":"${text}"}`), signal, limitMs)
  // As many as there are connections.
  const first = Array.from({ length: 64 }, (_, n) => send(String(n)))
  await waitFor(() => held.length === 64, 'all connections to be busy')
  const abort = new AbortController()
  const cancelled = send('cancelled', abort.signal)
  const late = send('late', never, 1)
  const last = send('last')
  await expect(late).rejects.toMatchObject({ name: 'TimeoutError' })
  abort.abort()
  await expect(cancelled).rejects.toMatchObject({ name: 'AbortError' })
  server.state.answer = (response) => void response.end('{}')
  for (const response of held) response.end('{}')
  await Promise.all([...first, last])
  expect(server.seen.slice(64).map(({ body }) => body.toString())).toEqual(['{"n":"last"}'])
})

test('the buffer of a request is reused only after a complete answer', async () => {
  const { log } = captureLog()
  const buffers: ArrayBufferLike[] = []
  let answer: () => ReturnType<BatchClient['send']> = () => Promise.resolve({})
  const { sqs } = useCapture({ region: 'eu-west-1' })
  const target = createSqsTarget({
    route: routeOf('agents', 'status'),
    queuePrefix: 'enigma-',
    log,
    outages: createOutages(log),
    batches: {
      sqs,
      send: (body) => {
        buffers.push(body.buffer)
        return answer()
      },
    },
  })
  const parcels = await makeParcels([{ reference: '1', isGzipped: false, packets: [Buffer.from('{}')] }])
  const send = () => target.send({ address: 'a', maxBytes: 1 }, parcels, never, 1).catch(() => [])
  const open = Promise.withResolvers<object>()
  answer = () => open.promise
  const sending = [send(), send()]
  answer = () => Promise.reject(new TypeError('of the test'))
  for (let n = 0; n < 10; n++) await send()
  // Two buffers are in flight. Ten belong to failed requests, which may still read them.
  expect(new Set(buffers)).toHaveProperty('size', 12)
  open.resolve({})
  await Promise.all(sending)
  answer = () => Promise.resolve({})
  for (let n = 0; n < 10; n++) await send()
  expect(buffers.slice(2, 12).filter((buffer) => buffers.lastIndexOf(buffer) >= 12)).toEqual([])
  expect(new Set(buffers.slice(12)).size).toBeLessThan(10)
})
