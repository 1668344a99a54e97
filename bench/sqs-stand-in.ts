import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readBody } from '../src/protocol/index.ts'

/**
 * An SQS server that only answers: a process of its own, so that its time is not the relay's. It keeps what came and looks at it
 * when it is asked for a report. A notification has arrived when its answer goes out, after the delay: the harsh view.
 *
 * Environment: `DELAY_MS`, the longest random delay before an answer, 0 for none. Prints its address when it listens.
 */

const delayMs = Number(process.env['DELAY_MS'] ?? 0)

type Arrival = { readonly atMs: number; readonly body: string; readonly gzip: boolean }

let requests = 0
let arrivals: Arrival[] = []

type Entry = { readonly Id?: string; readonly MessageBody: string; readonly MessageAttributes?: Record<string, unknown> }
type Input = { readonly QueueName?: string; readonly Entries?: readonly Entry[] } & Partial<Entry>

const now = () => performance.timeOrigin + performance.now()

const server = createServer((request, response) => void serve(request, response))

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  if (request.url?.startsWith('/report') === true) return answer(response, await report(Number(new URL(request.url, 'http://x').searchParams.get('expected'))))
  const input = JSON.parse(Buffer.concat(chunks).toString() || '{}') as Input
  const action = String(request.headers['x-amz-target']).split('.')[1]
  if (action === 'GetQueueUrl') return answer(response, { QueueUrl: `http://127.0.0.1/000000000000/${input.QueueName}` })
  if (action === 'GetQueueAttributes') return answer(response, { Attributes: { FifoQueue: 'true', MaximumMessageSize: '1048576' } })
  const entries = input.Entries ?? [input as Entry]
  const reply = input.Entries === undefined ? { MessageId: 'm' } : { Successful: entries.map(({ Id }) => ({ Id, MessageId: 'm' })), Failed: [] }
  const arrive = () => {
    requests++
    const atMs = now()
    for (const { MessageBody: body, MessageAttributes } of entries) arrivals.push({ atMs, body, gzip: MessageAttributes !== undefined })
    answer(response, reply)
  }
  if (delayMs > 0) setTimeout(arrive, Math.random() * delayMs)
  else arrive()
}

function answer(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body))
}

export type Report = {
  readonly requests: number
  readonly messages: number
  readonly notifications: number
  readonly missing: number
  readonly copies: number
  /** Notifications that came after a later one of their reference. */
  readonly disorder: number
  readonly firstMs: number
  readonly lastMs: number
  /** From publishing to arrival; 0 when packets carry no time. */
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Packets carry `ref`, and `n` that counts within it; `t` is when they were published, unix ms. */
type Payload = { readonly ref: string; readonly n: number; readonly t?: number }

async function report(expected: number): Promise<Report> {
  const seen = new Map<string, Set<number>>()
  const highest = new Map<string, number>()
  const delays: number[] = []
  let notifications = 0
  let copies = 0
  let disorder = 0
  for (const { atMs, body, gzip } of arrivals) {
    for (const { ref, n, t } of await payloads(body, gzip)) {
      notifications++
      const numbers = seen.get(ref) ?? new Set()
      if (numbers.has(n)) copies++
      else if (n < (highest.get(ref) ?? -1)) disorder++
      seen.set(ref, numbers.add(n))
      highest.set(ref, Math.max(n, highest.get(ref) ?? -1))
      if (t !== undefined) delays.push(atMs - t)
    }
  }
  delays.sort((a, b) => a - b)
  const at = (part: number) => delays[Math.floor(delays.length * part)] ?? 0
  const result = {
    requests, messages: arrivals.length, notifications, missing: expected - (notifications - copies), copies, disorder,
    firstMs: arrivals[0]?.atMs ?? 0, lastMs: arrivals.at(-1)?.atMs ?? 0, p50Ms: at(0.5), p99Ms: at(0.99),
  }
  requests = 0
  arrivals = []
  return result
}

/** CloudEvents from the relay, bare packets from the baseline. */
async function payloads(body: string, gzip: boolean): Promise<Payload[]> {
  if (body.startsWith('{"type"')) return [(JSON.parse(body) as { payload: Payload }).payload]
  const events = await readBody(body, gzip ? 'gzip' : undefined)
  return events.map(({ data }) => (JSON.parse(String(data)) as { payload: Payload }).payload)
}

server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
process.on('SIGTERM', () => process.exit(0))
