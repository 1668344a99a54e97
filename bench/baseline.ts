import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { createClient } from 'redis'

/*
 * The usual script, for comparison. For a list, it runs 16 loops of BRPOP and SendMessage. For Pub/Sub, it calls SendMessage for each
 * message. It keeps no order, and loses the messages in memory when it dies.
 *
 * Environment: `REDIS_URL`, `MODE` (`list` or `pubsub`), and AWS' variables. Prints `ready` when it is connected.
 */

const LOOPS = 16
const LIST = 'enigma:notifications:campaigns'
const url = process.env['REDIS_URL'] as string
const sqs = new SQSClient({
  useQueueUrlAsEndpoint: false,
  // Enough open sockets and no checksums, so that the configuration does not slow the script down.
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
