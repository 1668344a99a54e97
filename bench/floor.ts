import { createClient } from 'redis'
import { Pool } from 'undici'

/**
 * The floor: the least that a Node process needs to hear a message and to post it to SQS. It has no journal, no signature and no
 * order, and loses what it holds when it dies. What any subject takes beyond it is that subject's own.
 *
 * Environment: `REDIS_URL`, `AWS_ENDPOINT_URL_SQS`. Prints `ready` when it is subscribed.
 */

const pool = new Pool(process.env['AWS_ENDPOINT_URL_SQS'] as string)
const headers = { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'AmazonSQS.SendMessageBatch' }
const QueueUrl = 'http://127.0.0.1/000000000000/floor'

async function send(MessageBody: string): Promise<void> {
  const body = JSON.stringify({ QueueUrl, Entries: [{ Id: '0', MessageBody }] })
  const answer = await pool.request({ method: 'POST', path: '/', headers, body })
  await answer.body.text()
}

const client = await createClient({ url: process.env['REDIS_URL'] as string, RESP: 2 }).connect()
await client.pSubscribe('enigma:notifications*', (message) => void send(message))
console.log('ready')
