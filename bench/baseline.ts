import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { createClient } from 'redis'

/**
 * The script that everybody writes: for a list, 16 loops of BRPOP and SendMessage; for PubSub, a SendMessage for each message as it
 * comes. It loses what it holds when it dies, and keeps no order; it is here to be compared with.
 *
 * Environment: `REDIS_URL`, `MODE` (`list` or `pubsub`), and AWS's own.
 */

const LOOPS = 16
const list = 'enigma:notifications:campaigns'
const url = process.env['REDIS_URL'] as string
const sqs = new SQSClient({
  useQueueUrlAsEndpoint: false,
  // As many sockets as can be used at once, kept open: the script shall not suffer from its agent.
  requestHandler: { httpAgent: { maxSockets: 256, keepAlive: true } },
  md5: false,
})
const QueueUrl = 'http://127.0.0.1/000000000000/baseline.fifo'
let count = 0
const send = (MessageBody: string) =>
  sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId: '0', MessageDeduplicationId: `${process.pid}-${count++}` }))

async function popAndSend(): Promise<never> {
  const client = await createClient({ url, RESP: 2 }).connect()
  for (;;) {
    const popped = await client.brPop(list, 5)
    if (popped !== null) await send(popped.element)
  }
}

if (process.env['MODE'] === 'pubsub') {
  const client = await createClient({ url, RESP: 2 }).connect()
  await client.pSubscribe('enigma:notifications*', (message) => void send(message))
  console.log('ready')
} else {
  console.log('ready')
  await Promise.all(Array.from({ length: LOOPS }, popAndSend))
}
