import { hash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { toReport, type Arrival } from './arrivals.ts'
import { nowMs } from './load.ts'

/*
 * A stand-in for SQS that only answers. It is a separate process, so that its CPU time does not count as the relay's. It checks nothing, keeps
 * all messages, and parses them when a report is requested. A notification counts as arrived when its response is sent, after the delay: the
 * strictest definition. `POST /enigma` is a stand-in for an HTTP target, which returns an outcome for each notification.
 *
 * Environment: `DELAY_MS`, the maximum random delay of a response; 0: none. Prints its address when it listens.
 * `GET /outage?on=1` begins an outage, in which SQS answers every send with 503; `on=0` ends it. `GET /requests` returns the number of requests
 * since the last report. `GET /report?expected=N` returns a `Report`, and removes all messages.
 * Wire format: AWS JSON 1.0, https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html
 */

type Entry = {
  readonly Id?: string
  readonly MessageBody: string
  readonly MessageAttributes?: Exclude<Arrival['attributes'], undefined>
}
type Input = {
  readonly QueueName?: string
  readonly QueueUrl?: string
  readonly Entries?: readonly Entry[]
} & Partial<Entry>

const delayMs = Number(process.env['DELAY_MS'] ?? 0)
let requests = 0
let isOut = false
let arrivals: Arrival[] = []

const server = createServer((request, response) => {
  void (request.method === 'GET' ? inspect(request, response) : act(request, response))
})

async function inspect({ url = '/' }: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(url, 'http://stand-in')
  if (pathname === '/outage') {
    isOut = searchParams.get('on') === '1'
    return answer(response, isOut)
  }
  if (pathname === '/requests') return answer(response, requests)
  const report = await toReport(arrivals, requests, Number(searchParams.get('expected')))
  requests = 0
  arrivals = []
  answer(response, report)
}

async function act(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await text(request)
  if (request.url === '/enigma') return actAsTarget(String(request.headers['ce-route']), body, response)
  const input = JSON.parse(body) as Input
  const action = String(request.headers['x-amz-target'])
  if (isOut && action.startsWith('AmazonSQS.SendMessage'))
    return answer(response, { __type: 'com.amazonaws.sqs#ServiceUnavailable', message: 'an outage' }, 503)
  switch (action) {
    case 'AmazonSQS.GetQueueUrl':
      return answer(response, { QueueUrl: `http://127.0.0.1/000000000000/${input.QueueName}` })
    case 'AmazonSQS.GetQueueAttributes':
      return answer(response, { Attributes: { FifoQueue: 'true', MaximumMessageSize: '1048576' } })
    case 'AmazonSQS.SendMessage':
      return accept(response, [input as Entry], ([result]) => result)
    case 'AmazonSQS.SendMessageBatch':
      // Liveness messages are not measured.
      if (input.QueueUrl?.endsWith('relay-alive.fifo') === true)
        return answer(response, {
          Successful: input.Entries?.map(({ Id }) => ({ Id, MessageId: 'm', MD5OfMessageBody: '' })),
          Failed: [],
        })
      return accept(response, input.Entries ?? [], (results) => ({ Successful: results, Failed: [] }))
    default:
      return answer(
        response,
        { __type: 'com.amazonaws.sqs#UnsupportedOperation', message: `the stand-in does not know ${action}` },
        400,
      )
  }
}

function actAsTarget(route: string, body: string, response: ServerResponse): void {
  const outcomes = (JSON.parse(body) as { id: string }[]).map(({ id }) => ({ id, outcome: 'done' }))
  const reply = () =>
    response
      .writeHead(200, { 'content-type': 'application/vnd.enigma-relay.outcomes+json' })
      .end(JSON.stringify({ outcomes }))
  if (route === 'relay-alive') return void reply()
  later(() => {
    requests++
    arrivals.push({ atMs: nowMs(), body, attributes: undefined })
    reply()
  })
}

/** Calls `arrive` at once, or after a random delay. */
function later(arrive: () => void): void {
  if (delayMs > 0) setTimeout(arrive, Math.random() * delayMs)
  else arrive()
}

type Result = { readonly Id?: string; readonly MessageId: string; readonly MD5OfMessageBody: string }

function accept(
  response: ServerResponse,
  entries: readonly Entry[],
  toReply: (results: readonly Result[]) => unknown,
): void {
  const reply = toReply(
    entries.map(({ Id, MessageBody }) => ({
      ...(Id === undefined ? {} : { Id }),
      MessageId: 'm',
      MD5OfMessageBody: hash('md5', MessageBody, 'hex'),
    })),
  )
  later(() => {
    requests++
    const atMs = nowMs()
    for (const { MessageBody: body, MessageAttributes: attributes } of entries)
      arrivals.push({ atMs, body, attributes })
    answer(response, reply)
  })
}

function answer(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body))
}

server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
