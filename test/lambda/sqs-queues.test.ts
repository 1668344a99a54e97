import { DeleteQueueCommand, SendMessageCommand } from '@aws-sdk/client-sqs'
import { expect, test, vi } from 'vitest'
import { useEnv } from '../support/env.ts'
import { ROUTES } from '../support/routes.ts'
import { useSqs } from '../support/sqs.ts'

async function useQueues() {
  const sqs = await useSqs()
  useEnv({
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  })
  vi.resetModules()
  const { readQueues } = await import('../../src/lambda/sqs-queues.ts')
  const put = (url: string, n: number) =>
    sqs.sqs.send(
      new SendMessageCommand({
        QueueUrl: url,
        MessageBody: '{}',
        MessageGroupId: `g${n}`,
        MessageDeduplicationId: `d${n}`,
      }),
    )
  return { sqs, put, readQueues }
}

test('every queue and every dead-letter queue is listed with its waiting and in-flight messages', async () => {
  const { sqs, put, readQueues } = await useQueues()
  for (let n = 0; n < 4; n++) await put(sqs.url('campaigns-cdr'), n)
  await put(sqs.url('agents-call').replace(/\.fifo$/, '-dlq.fifo'), 1)
  const read = await readQueues('enigma-')
  expect(read).toHaveLength(2 * ROUTES.all.length + 1)
  expect(read.filter(({ waiting }) => waiting !== 0)).toEqual([
    { queue: 'enigma-agents-call-dlq.fifo', route: 'agents-call', dead_letter: true, waiting: 1, in_flight: 0 },
    { queue: 'enigma-campaigns-cdr.fifo', route: 'campaigns-cdr', dead_letter: false, waiting: 4, in_flight: 0 },
  ])
})

test('a missing queue is listed with unknown counts', async () => {
  const { sqs, readQueues } = await useQueues()
  await sqs.sqs.send(new DeleteQueueCommand({ QueueUrl: sqs.url('agents-call') }))
  const missing = (await readQueues('enigma-')).filter(({ waiting }) => waiting === null)
  expect(missing).toEqual([
    { queue: 'enigma-agents-call.fifo', route: 'agents-call', dead_letter: false, waiting: null, in_flight: null },
  ])
})
