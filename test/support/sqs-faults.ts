import { SQSClient } from '@aws-sdk/client-sqs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** An entry of SendMessageBatch, as it came over the wire. */
export type WireEntry = {
  readonly Id: string
  readonly MessageBody: string
  readonly MessageGroupId: string
  readonly MessageDeduplicationId: string
  readonly MessageAttributes?: Record<string, { readonly StringValue: string }>
}

export type WireRequest = { readonly queue: string; readonly entries: readonly WireEntry[] }

type Failure = { readonly Code: string; readonly SenderFault: boolean; readonly Message?: string }

/** What the server does with a request. */
export type Answer =
  | 'accept'
  /** Accepts, and cuts the connection before the answer. */
  | 'lose'
  /** Cuts the connection at once. */
  | 'close'
  /** Never answers. */
  | 'hang'
  /** Refuses the whole request. */
  | { readonly status: number; readonly code: string }
  /** Accepts the entries for which this returns undefined. */
  | { readonly fail: (entry: WireEntry) => Failure | undefined }

/**
 * A small SQS of the tests' own: it speaks the JSON protocol as the SDK sends it, knows copies by their deduplication id, and
 * misbehaves on command. It has every queue that it is asked for, unless `missing` names it.
 */
export async function useSqsFaults(options: { readonly maxBytes?: number; readonly fifo?: boolean; readonly requestTimeoutMs?: number } = {}) {
  const requests: WireRequest[] = []
  const accepted: (WireEntry & { readonly queue: string })[] = []
  const known = new Set<string>()
  const missing = new Set<string>()
  const busyGroups = new Set<string>()
  const state = {
    /** Decides about each request; may wait before it does. */
    answer: (_request: WireRequest): Answer | Promise<Answer> => 'accept',
    mostInFlight: 0,
    /** How often a request carried a group of which another one was out. */
    overlaps: 0,
  }
  let inFlight = 0

  const accept = (queue: string, entry: WireEntry) => {
    const key = `${queue} ${entry.MessageDeduplicationId}`
    if (known.has(key)) return
    known.add(key)
    accepted.push({ ...entry, queue })
  }
  const reply = (response: ServerResponse, status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body))
  }
  const refuse = (response: ServerResponse, status: number, code: string) =>
    reply(response, status, { __type: `com.amazonaws.sqs#${code}`, message: `${code}, as the test wants it` })

  const send = async (request: WireRequest, response: ServerResponse) => {
    const groups = request.entries.map((entry) => `${request.queue} ${entry.MessageGroupId}`)
    for (const group of groups) {
      if (busyGroups.has(group)) state.overlaps++
      busyGroups.add(group)
    }
    requests.push(request)
    state.mostInFlight = Math.max(state.mostInFlight, ++inFlight)
    const answer = await state.answer(request)
    inFlight--
    for (const group of groups) busyGroups.delete(group)
    if (answer === 'hang') return
    if (answer === 'close') return void response.destroy()
    if (typeof answer === 'object' && 'status' in answer) return refuse(response, answer.status, answer.code)
    const Successful: object[] = []
    const Failed: object[] = []
    for (const entry of request.entries) {
      const failure = typeof answer === 'object' ? answer.fail(entry) : undefined
      if (failure !== undefined) {
        Failed.push({ Id: entry.Id, ...failure })
        continue
      }
      accept(request.queue, entry)
      Successful.push({ Id: entry.Id, MessageId: '1', MD5OfMessageBody: '' })
    }
    if (answer === 'lose') return void response.destroy()
    reply(response, 200, { Successful, Failed })
  }

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk as string
    const body = JSON.parse(text) as { QueueName?: string; QueueUrl?: string; Entries?: WireEntry[] }
    const queue = body.QueueName ?? body.QueueUrl?.split('/').at(-1) ?? ''
    if (missing.has(queue)) return refuse(response, 400, 'QueueDoesNotExist')
    const action = request.headers['x-amz-target']
    if (action === 'AmazonSQS.GetQueueUrl') return reply(response, 200, { QueueUrl: `http://sqs.test/000000000000/${queue}` })
    if (action === 'AmazonSQS.GetQueueAttributes') {
      const Attributes = { FifoQueue: String(options.fifo ?? true), MaximumMessageSize: String(options.maxBytes ?? 1024 * 1024) }
      return reply(response, 200, { Attributes })
    }
    await send({ queue, entries: body.Entries ?? [] }, response)
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const sqs = new SQSClient({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    useQueueUrlAsEndpoint: false,
    maxAttempts: 1,
    md5: false,
    requestHandler: { requestTimeout: options.requestTimeoutMs ?? 10_000, throwOnRequestTimeout: true },
  })
  onTestFinished(() => sqs.destroy())
  return { endpoint, sqs, requests, accepted, missing, state }
}
