import { CreateQueueCommand, DeleteQueueCommand, SQSClient } from '@aws-sdk/client-sqs'
import { expect, onTestFinished, test } from 'vitest'
import { findQueue } from '../../../src/relay/targets/sqs/sqs-target.ts'
import { captureLog } from '../../support/log.ts'
import { waitFor } from '../../support/relay.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'
import { useSqs } from '../../support/sqs.ts'
import { routeOf } from '../../support/routes.ts'

const route = routeOf('agents', 'status')
const never = new AbortController().signal

test('an existing queue is found with its maximum message size', async () => {
  const server = await useSqs()
  const { log, lines } = captureLog()
  expect(await findQueue(server.sqs, route, 'enigma-', log, never)).toEqual({
    address: server.url('agents-status'),
    maxBytes: 1024 * 1024,
  })
  expect(lines).toEqual([])
})

test('a missing queue is logged once with the fix, and is found without a restart once it is created', async () => {
  const server = await useSqs()
  await server.sqs.send(new DeleteQueueCommand({ QueueUrl: server.url('agents-status') }))
  const { log, coded } = captureLog()
  const finding = findQueue(server.sqs, route, 'enigma-', log, never)
  await waitFor(() => coded('relay.sqs.queue_missing').length > 0, 'it to be said')
  // After a few more attempts it is still logged only once.
  await new Promise((resolve) => setTimeout(resolve, 300))
  await server.sqs.send(
    new CreateQueueCommand({
      QueueName: 'enigma-agents-status.fifo',
      Attributes: { FifoQueue: 'true', MaximumMessageSize: '262144' },
    }),
  )
  expect(await finding).toMatchObject({ maxBytes: 262_144 })
  expect(coded('relay.sqs.queue_missing')).toMatchObject([
    {
      queue: 'enigma-agents-status.fifo',
      msg: expect.stringMatching(/"enigma-relay queues --create".*ENIGMA_QUEUE_PREFIX/) as string,
    },
  ])
  expect(coded('relay.sqs.queue_found')).toHaveLength(1)
})

test('a queue that is not FIFO is refused', async () => {
  const server = await useSqsFaults({ fifo: false })
  const { log, coded } = captureLog()
  const abort = new AbortController()
  const finding = findQueue(server.sqs, route, 'enigma-', log, abort.signal)
  await waitFor(() => coded('relay.sqs.queue_not_fifo').length > 0, 'it to be said')
  abort.abort()
  expect(await finding).toBeUndefined()
})

test('missing credentials are logged as such', async () => {
  const server = await useSqs()
  const missing = Object.assign(new Error('Could not load credentials from any providers'), {
    name: 'CredentialsProviderError',
  })
  const sqs = new SQSClient({
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: () => Promise.reject(missing),
    maxAttempts: 1,
  })
  onTestFinished(() => sqs.destroy())
  const { log, coded } = captureLog()
  const abort = new AbortController()
  const finding = findQueue(sqs, route, 'enigma-', log, abort.signal)
  await waitFor(() => coded('relay.sqs.credentials_rejected').length > 0, 'it to be said')
  abort.abort()
  await finding
})

test('an answer that is not from SQS is logged as such, and its page is not quoted', async () => {
  const server = await useSqsFaults()
  server.state.page = '<html>the proxy of the house</html>'
  const { log, coded, lines } = captureLog()
  const abort = new AbortController()
  const finding = findQueue(server.sqs, route, 'enigma-', log, abort.signal)
  await waitFor(() => coded('relay.sqs.foreign_answer').length > 0, 'it to be said')
  server.state.page = undefined
  expect(await finding).toMatchObject({ maxBytes: 1024 * 1024 })
  expect(lines.join('')).not.toContain('the proxy of the house')
})

test('an unreachable server is logged with the network error', async () => {
  const sqs = new SQSClient({
    endpoint: 'http://127.0.0.1:1',
    region: 'us-east-1',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    maxAttempts: 1,
  })
  onTestFinished(() => sqs.destroy())
  const { log, coded } = captureLog()
  const abort = new AbortController()
  const finding = findQueue(sqs, route, 'enigma-', log, abort.signal)
  await waitFor(() => coded('relay.sqs.unavailable').length > 0, 'it to be said')
  abort.abort()
  await finding
  expect(coded('relay.sqs.unavailable')[0]).toMatchObject({ error: expect.stringContaining('ECONNREFUSED') as string })
})
