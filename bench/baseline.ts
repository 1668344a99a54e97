import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { createClient } from 'redis'

/**
 * The script that everybody writes: for a list, 16 loops of BRPOP and SendMessage; for PubSub, a SendMessage for each message as it
 * comes. It loses what it holds when it dies, and keeps no order; it is here to be compared with.
 *
 * Environment: `REDIS_URL`, `MODE` (`list` or `pubsub`), and AWS's own. Says `ready` when it is connected.
 */

const LOOPS = 16
const LIST = 'enigma:notifications:campaigns'
const url = process.env['REDIS_URL'] as string
const sqs = new SQSClient({
  useQueueUrlAsEndpoint: false,
  // As many sockets as can be of use, kept open, and no checksums: the script shall not suffer from how it was set up.
  requestHandler: { httpAgent: { maxSockets: 256, keepAlive: true } },
  md5: false,
})
const QueueUrl = 'http://127.0.0.1/000000000000/baseline.fifo'
let count = 0
const send = (MessageBody: string) =>
  sqs.send(
    new SendMessageCommand({
      QueueUrl,
      MessageBody,
      MessageGroupId: '0',
      MessageDeduplicationId: `${process.pid}-${count++}`,
    }),
  )

const connect = () => createClient({ url, RESP: 2 }).connect()

async function popAndSend(client: Awaited<ReturnType<typeof connect>>): Promise<never> {
  for (;;) {
    const popped = await client.brPop(LIST, 0)
    if (popped !== null) await send(popped.element)
  }
}

if (process.env['MODE'] === 'pubsub') {
  const client = await connect()
  await client.pSubscribe('enigma:notifications*', (message) => void send(message))
  console.log('ready')
} else {
  const clients = await Promise.all(Array.from({ length: LOOPS }, connect))
  console.log('ready')
  await Promise.all(clients.map(popAndSend))
}
