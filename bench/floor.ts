import { createClient } from 'redis'
import { Pool, type Dispatcher } from 'undici'

/*
 * The floor: the minimum that a Node process needs to receive a message and to post it to SQS. It has no journal, no signature and no
 * order, and loses the messages in memory when it dies. Everything that a subject needs beyond the floor is its own cost.
 *
 * Environment: `REDIS_URL`, `AWS_ENDPOINT_URL_SQS`. Prints `ready` when it is subscribed.
 */

const pool = new Pool(process.env['AWS_ENDPOINT_URL_SQS'] as string)
const headers = { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'AmazonSQS.SendMessageBatch' }
const QueueUrl = 'http://127.0.0.1/000000000000/floor'

/** Ignores the responses, because the report shows missing messages. */
const handler: Dispatcher.DispatchHandler = {
  onRequestStart: () => {},
  onResponseStart: () => {},
  onResponseData: () => {},
  onResponseEnd: () => {},
  onResponseError: (_controller, error) => console.error(error),
}

const client = await createClient({ url: process.env['REDIS_URL'] as string, RESP: 2 }).connect()
await client.pSubscribe('enigma:notifications*', (MessageBody) => {
  const body = JSON.stringify({ QueueUrl, Entries: [{ Id: '0', MessageBody }] })
  pool.dispatch({ method: 'POST', path: '/', headers, body }, handler)
})
console.log('ready')
