import { SQSClient } from '@aws-sdk/client-sqs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/** An entry of SendMessageBatch, as the server received it. */
export type WireEntry = {
  readonly Id: string
  readonly MessageBody: string
  readonly MessageGroupId: string
  readonly MessageDeduplicationId: string
  readonly MessageAttributes?: Record<string, { readonly StringValue: string }>
}

/** `accessKey`: the access key in the signature. */
export type WireRequest = { readonly queue: string; readonly entries: readonly WireEntry[]; readonly accessKey: string }

export type AcceptedEntry = WireEntry & { readonly queue: string; readonly accessKey: string }

type Failure = { readonly Code: string; readonly SenderFault: boolean; readonly Message?: string | number | null }

/** How the server responds to a request. */
export type Answer =
  | 'accept'
  /** Accepts the request, and cuts the connection before the answer. */
  | 'lose'
  /** Cuts the connection at once. */
  | 'close'
  /** Never answers. */
  | 'hang'
  /** Rejects the whole request. */
  | { readonly status: number; readonly code: string; readonly message?: string }
  /** Accepts the entries for which this returns undefined. */
  | { readonly fail: (entry: WireEntry) => Failure | undefined }

export type SqsFaultsOptions = {
  /** The `MaximumMessageSize` that its queues report. Default 1 MiB. */
  readonly maxBytes?: number
  /** Whether its queues report that they are FIFO queues. Default true. */
  readonly fifo?: boolean
  /** Called with each accepted message. If set, the server keeps neither messages nor requests, which suits long runs. */
  readonly onAccepted?: (entry: AcceptedEntry) => void
}

/** SQS drops copies for five minutes. Source: the SQS developer guide, "Exactly-once processing". */
const DEDUPLICATION_MS = 5 * 60_000

/**
 * Starts a small SQS server for tests. It speaks the SDK's JSON protocol, drops copies by their deduplication id, and fails on command. Every
 * queue exists, except those in `missing`.
 */
export async function startSqsFaults({ maxBytes = 1024 * 1024, fifo = true, onAccepted }: SqsFaultsOptions = {}) {
  const requests: WireRequest[] = []
  const signsOfLife: WireRequest[] = []
  const accepted: AcceptedEntry[] = []
  const known = { current: new Set<string>(), former: new Set<string>(), sinceMs: performance.now() }
  const missing = new Set<string>()
  const busyGroups = new Set<string>()
  const state = {
    /** Returns the answer to each request. It may wait first. */
    answer: (_request: WireRequest): Answer | Promise<Answer> => 'accept',
    /** Returns the answer to a liveness message. These are kept apart from other requests, because they arrive at unpredictable times. */
    answerSignOfLife: (_request: WireRequest): Answer | Promise<Answer> => 'accept',
    /** The present `MaximumMessageSize` of its queues. Undefined: they do not report it. */
    maxBytes: maxBytes as number | undefined,
    /** Returns the error code with which the server rejects all requests for a queue. */
    refuse: (_queue: string): string | undefined => undefined,
    /** Further attributes that its queues report. */
    attributes: {} as Readonly<Record<string, string>>,
    /** Whether its answers have a `date` header. */
    hasDate: true,
    /** An HTML page with which the server answers every request, like a proxy or a server of another protocol. */
    page: undefined as string | undefined,
    mostInFlight: 0,
    /** How often a request contained a message group that another request in flight also contained. */
    overlaps: 0,
  }
  let inFlight = 0

  const accept = ({ queue, accessKey }: WireRequest, entry: WireEntry) => {
    if (performance.now() - known.sinceMs > DEDUPLICATION_MS)
      Object.assign(known, { current: new Set(), former: known.current, sinceMs: performance.now() })
    const key = `${queue} ${entry.MessageDeduplicationId}`
    if (known.current.has(key) || known.former.has(key)) return
    known.current.add(key)
    const message = { ...entry, queue, accessKey }
    if (onAccepted === undefined) accepted.push(message)
    else onAccepted(message)
  }
  const reply = (response: ServerResponse, status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body))
  }
  const refuse = (response: ServerResponse, status: number, code: string, message = `${code}, as the test wants it`) =>
    reply(response, status, { __type: `com.amazonaws.sqs#${code}`, message })

  const send = async (request: WireRequest, response: ServerResponse) => {
    if (request.queue.endsWith('relay-alive.fifo')) {
      signsOfLife.push(request)
      return answerWith(await state.answerSignOfLife(request), request, response, () => undefined)
    }
    const groups = request.entries.map((entry) => `${request.queue} ${entry.MessageGroupId}`)
    for (const group of groups) {
      if (busyGroups.has(group)) state.overlaps++
      busyGroups.add(group)
    }
    if (onAccepted === undefined) requests.push(request)
    state.mostInFlight = Math.max(state.mostInFlight, ++inFlight)
    const answer = await state.answer(request)
    inFlight--
    for (const group of groups) busyGroups.delete(group)
    answerWith(answer, request, response, (entry) => accept(request, entry))
  }

  const answerWith = (
    answer: Answer,
    request: WireRequest,
    response: ServerResponse,
    take: (entry: WireEntry) => void,
  ): void => {
    if (answer === 'hang') return
    if (answer === 'close') return void response.destroy()
    if (typeof answer === 'object' && 'status' in answer)
      return refuse(response, answer.status, answer.code, answer.message)
    const Successful: object[] = []
    const Failed: object[] = []
    for (const entry of request.entries) {
      const failure = typeof answer === 'object' ? answer.fail(entry) : undefined
      if (failure !== undefined) {
        Failed.push({ Id: entry.Id, ...failure })
        continue
      }
      take(entry)
      Successful.push({ Id: entry.Id, MessageId: '1', MD5OfMessageBody: '' })
    }
    if (answer === 'lose') return void response.destroy()
    reply(response, 200, { Successful, Failed })
  }

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    response.sendDate = state.hasDate
    if (request.method !== 'POST') return void response.writeHead(404).end()
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk as string
    if (state.page !== undefined) return void response.writeHead(400, { 'content-type': 'text/html' }).end(state.page)
    const body = JSON.parse(text) as { QueueName?: string; QueueUrl?: string; Entries?: WireEntry[] }
    const queue = body.QueueName ?? body.QueueUrl?.split('/').at(-1) ?? ''
    if (missing.has(queue)) return refuse(response, 400, 'QueueDoesNotExist')
    const refusal = state.refuse(queue)
    if (refusal !== undefined) return refuse(response, 403, refusal)
    // The tests with this server send no commands, so it has no command queue.
    if (queue.endsWith('relay-commands.fifo')) return refuse(response, 400, 'QueueDoesNotExist')
    const action = request.headers['x-amz-target']
    if (action === 'AmazonSQS.GetQueueUrl')
      return reply(response, 200, { QueueUrl: `http://sqs.test/000000000000/${queue}` })
    if (action === 'AmazonSQS.GetQueueAttributes') {
      const Attributes = {
        FifoQueue: String(fifo),
        ...(state.maxBytes === undefined ? {} : { MaximumMessageSize: String(state.maxBytes) }),
        ...state.attributes,
      }
      return reply(response, 200, { Attributes })
    }
    const accessKey = /Credential=([^/]*)/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    await send({ queue, entries: body.Entries ?? [], accessKey }, response)
  }

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `http://127.0.0.1:${port}`,
    port,
    requests,
    signsOfLife,
    accepted,
    missing,
    state,
    stop: async (): Promise<void> => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Starts the same server with a real SDK client. Stops both when the test ends. */
export async function useSqsFaults({
  requestTimeoutMs = 10_000,
  ...options
}: SqsFaultsOptions & { readonly requestTimeoutMs?: number } = {}) {
  const server = await startSqsFaults(options)
  onTestFinished(() => server.stop())
  const sqs = new SQSClient({
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    useQueueUrlAsEndpoint: false,
    maxAttempts: 1,
    md5: false,
    requestHandler: { requestTimeout: requestTimeoutMs, throwOnRequestTimeout: true },
  })
  onTestFinished(() => sqs.destroy())
  return { ...server, sqs }
}
