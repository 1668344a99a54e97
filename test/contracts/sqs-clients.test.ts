import {
  ReceiveMessageCommand,
  DeleteMessageBatchCommand,
  SendMessageBatchCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeParcels, contents, toEntries } from '../support/parcels.ts'
import { signByReference } from '../support/reference-signature.ts'
import { waitFor } from '../support/relay.ts'
import { CREDENTIALS, tell, useClients } from '../support/sqs-clients.ts'
import { useSqs } from '../support/sqs.ts'
import { useWireServer, type WireAnswer, type WireMessage } from '../support/wire-server.ts'

/* Our own client sends the same SendMessageBatch requests as the SDK. `sqs-answers.test.ts` covers how both read the answers. */

const never = new AbortController().signal

const acceptAll: WireAnswer = (response, { body }) => {
  const { Entries } = JSON.parse(body.toString()) as { Entries: { Id: string }[] }
  response.end(JSON.stringify({ Successful: Entries.map(({ Id }) => ({ Id, MessageId: '1', MD5OfMessageBody: '' })) }))
}

/** Whether the signature of a request is the one that the reference implementation computes for it. */
async function isSignedRight({ path, headers, body }: WireMessage): Promise<boolean> {
  const authorization = String(headers['authorization'])
  const names = /SignedHeaders=([^,]*)/.exec(authorization)?.[1]?.split(';') ?? []
  const date = String(headers['x-amz-date']).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5')
  const own = new Set(['x-amz-date', 'x-amz-security-token'])
  const signed = await signByReference({
    credentials: CREDENTIALS,
    region: 'eu-west-1',
    service: 'sqs',
    path,
    headers: Object.fromEntries(names.filter((name) => !own.has(name)).map((name) => [name, String(headers[name])])),
    body,
    timeMs: Date.parse(date),
  })
  return signed['authorization'] === authorization && signed['x-amz-security-token'] === headers['x-amz-security-token']
}

const relevant = ({ method, path, headers, body }: WireMessage): unknown => ({
  method,
  path,
  headers: [
    'host',
    'content-type',
    'x-amz-target',
    'x-amzn-query-mode',
    'x-amz-security-token',
    'transfer-encoding',
  ].map((name) => [name, headers[name]]),
  length: Number(headers['content-length']) === body.length,
  body: JSON.parse(body.toString()) as unknown,
})

test.each(['', '/', '/queues', "/a b//(it's)/ü*/"])(
  'with the endpoint path "%s" both clients send the same requests for any packets, with the signature of the reference',
  async (path) => {
    const server = await useWireServer()
    const { sdk, own } = await useClients(server.endpoint + path, 'eu-west-1')
    server.state.answer = acceptAll
    await fc.assert(
      fc.asyncProperty(contents, async (many) => {
        const parcels = await makeParcels(many)
        server.seen.length = 0
        const input = { QueueUrl: sdk.limits.address, Entries: toEntries(parcels) }
        await sdk.sqs.send(new SendMessageBatchCommand(input))
        expect(await own.target.send(own.limits, parcels, never, 5_000)).toEqual(parcels.map(() => 'accepted'))
        const [bySdk, byOwn] = server.seen as [WireMessage, WireMessage]
        expect(relevant(byOwn)).toEqual(relevant(bySdk))
        expect([await isSignedRight(bySdk), await isSignedRight(byOwn)]).toEqual([true, true])
      }),
      { numRuns: 25 },
    )
  },
)

/** All messages of a queue, in the order of each group. */
async function drain(sqs: SQSClient, QueueUrl: string) {
  const found: { body: string | undefined; attributes: unknown }[] = []
  for (;;) {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: ['All'] }),
    )
    if (Messages.length === 0) return found
    found.push(...Messages.map(({ Body, MessageAttributes }) => ({ body: Body, attributes: MessageAttributes })))
    const Entries = Messages.map(({ ReceiptHandle }, id) => ({ Id: String(id), ReceiptHandle }))
    await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
  }
}

test('fauxqs stores the same messages, whichever client sends them', async () => {
  const server = await useSqs()
  const { sdk, own } = await useClients(server.endpoint)
  await fc.assert(
    fc.asyncProperty(contents, async (many) => {
      const parcels = await makeParcels(many)
      expect(await tell(own, parcels)).toEqual(parcels.map(() => 'accepted'))
      const byOwn = await drain(server.sqs, own.limits.address)
      const other = { ...sdk.limits, address: server.url('agents-call') }
      expect(await sdk.target.send(other, parcels, never, 5_000)).toEqual(parcels.map(() => 'accepted'))
      expect(byOwn).toEqual(await drain(server.sqs, other.address))
      expect(new Set(byOwn.map(({ body }) => body))).toEqual(
        new Set(toEntries(parcels).map(({ MessageBody }) => MessageBody)),
      )
    }),
    { numRuns: 15 },
  )
})

test('fauxqs rejects a missing queue and an oversized message in the same way for both clients', async () => {
  const server = await useSqs()
  const { sdk, own } = await useClients(server.endpoint)
  const nowhere = { ...sdk.limits, address: sdk.limits.address.replace('agents-status', 'away') }
  const parcels = await makeParcels([{ reference: '1', isGzipped: false, packets: [Buffer.from('{"type":"status"}')] }])
  const missing = {
    verdict: 'retry',
    isForSize: false,
    isAnswer: true,
    isMissing: true,
    problem: 'relay.sqs.queue_missing',
  }
  expect(await tell({ ...sdk, limits: nowhere }, parcels)).toEqual(missing)
  expect(await tell({ ...own, limits: nowhere }, parcels)).toEqual(missing)
  const large = Buffer.from(`{"type":"status","payload":"${'x'.repeat(1_100_000)}"}`)
  const tooLarge = await makeParcels([{ reference: '1', isGzipped: false, packets: [large] }])
  const [bySdk, byOwn] = [await tell(sdk, tooLarge), await tell(own, tooLarge)]
  expect(byOwn).toEqual(bySdk)
  expect(byOwn).toMatchObject({ verdict: 'refused', isForSize: true })
})

// Time

const SILENT = {
  verdict: 'retry',
  isForSize: false,
  isAnswer: false,
  isMissing: false,
  problem: 'relay.sqs.unavailable',
}

/** Both clients and parcels for them, at a server that answers nothing until it is told to. */
async function useSilence() {
  const server = await useWireServer()
  const clients = await useClients(server.endpoint)
  const parcels = await makeParcels([{ reference: '1', isGzipped: false, packets: [Buffer.from('{"type":"status"}')] }])
  server.state.answer = () => undefined
  return { server, parcels, both: Object.entries(clients) }
}
const ACCEPTED = '{"Successful":[{"Id":"0"}]}'

test.each<[string, WireAnswer]>([
  ['nothing', () => undefined],
  ['only the head', (response) => response.flushHeaders()],
  [
    'all but the first byte',
    (response) => response.writeHead(200, { 'content-length': ACCEPTED.length }).write(ACCEPTED.slice(1)),
  ],
])(
  'a request that is answered with %s is aborted at the time limit, and its connection is closed',
  async (_what, how) => {
    const { server, parcels, both } = await useSilence()
    server.state.answer = how
    for (const [name, { target, limits }] of both) {
      const before = server.connections.size
      const error: unknown = await target.send(limits, parcels, never, 60).catch((e: unknown) => e)
      expect([name, error]).toMatchObject([name, { name: 'TimeoutError' }])
      expect(target.explain(error)).toMatchObject({ verdict: 'retry', isAnswer: false, isMissing: false })
      await waitFor(() => server.connections.size === before - 1, 'the connection to be closed')
    }
    server.state.answer = acceptAll
    for (const [, client] of both) expect(await tell(client, parcels)).toEqual(['accepted'])
  },
)

test('an aborted request ends at once and closes its connection; a request that was aborted before is never sent', async () => {
  const { server, parcels, both } = await useSilence()
  for (const [, { target, limits }] of both) {
    const [count, before] = [server.seen.length, server.connections.size]
    const abort = new AbortController()
    const sending = target.send(limits, parcels, abort.signal, 60_000).catch((e: unknown) => e)
    await waitFor(() => server.seen.length === count + 1, 'it to be sent')
    abort.abort()
    const error = await sending
    expect(error).toMatchObject({ name: 'AbortError' })
    expect(target.explain(error)).toMatchObject({ verdict: 'retry', isAnswer: false })
    await waitFor(() => server.connections.size === before - 1, 'the connection to be closed')
    await expect(target.send(limits, parcels, abort.signal, 60_000)).rejects.toMatchObject({ name: 'AbortError' })
    expect(server.seen).toHaveLength(count + 1)
  }
})

const HOUR_MS = 3_600_000
const dateOf = ({ headers }: WireMessage) =>
  Date.parse(String(headers['x-amz-date']).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'))

test.each([
  ['an hour ahead', HOUR_MS],
  ['an hour behind', -HOUR_MS],
])('a server whose clock is %s rejects the first request, and accepts the second', async (_what, skewMs) => {
  const { server, parcels, both } = await useSilence()
  server.state.answer = (response, message) => {
    const nowMs = Date.now() + skewMs
    response.setHeader('date', new Date(nowMs).toUTCString())
    if (Math.abs(dateOf(message) - nowMs) < 300_000) return acceptAll(response, message)
    response
      .writeHead(403)
      .end('{"__type":"com.amazonaws.sqs#InvalidSignatureException","message":"Signature expired"}')
  }
  const rejected = { ...SILENT, isAnswer: true, problem: 'relay.sqs.credentials_rejected' }
  for (const [, client] of both)
    expect([await tell(client, parcels), await tell(client, parcels)]).toEqual([rejected, ['accepted']])
})
