import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A request as the server received it. */
export type WireMessage = {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Answers a request through `response`, or through its socket if the answer is not valid HTTP. */
export type WireAnswer = (response: ServerResponse, message: WireMessage) => void

/** Starts an SQS server on which every queue exists. The test supplies the answer to SendMessageBatch. */
export async function useWireServer() {
  const seen: WireMessage[] = []
  const connections = new Set<Socket>()
  const state = { answer: ((response) => response.end('{}')) as WireAnswer }
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => void chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request
      const body = Buffer.concat(chunks)
      const target = headers['x-amz-target']
      if (target === 'AmazonSQS.GetQueueUrl') {
        const { QueueName } = JSON.parse(body.toString()) as { QueueName: string }
        response.end(JSON.stringify({ QueueUrl: `http://sqs.test/000000000000/${QueueName}` }))
      } else if (target === 'AmazonSQS.GetQueueAttributes') {
        response.end(JSON.stringify({ Attributes: { FifoQueue: 'true', MaximumMessageSize: '1048576' } }))
      } else {
        const message = { method, path, headers, body }
        seen.push(message)
        state.answer(response, message)
      }
    })
  })
  server.on('connection', (socket) => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { endpoint: `http://127.0.0.1:${port}`, seen, connections, state }
}
