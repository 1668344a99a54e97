import { SQSClient } from '@aws-sdk/client-sqs'
import { onTestFinished } from 'vitest'
import { createQueues } from '../../src/relay/targets/sqs/sqs-target.ts'
import { startSqsServer, type SqsServerOptions } from '../../src/local/local-aws.ts'
import { ROUTES } from './routes.ts'

/** Starts a local SQS server with every queue of the route table (prefix `enigma-`), and a real SDK client. Stops both when the test ends. */
export async function useSqs(options?: SqsServerOptions) {
  const server = await startSqsServer(options)
  onTestFinished(() => server.stop())
  const sqs = new SQSClient({
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    useQueueUrlAsEndpoint: false,
  })
  onTestFinished(() => sqs.destroy())
  const queues = await createQueues(sqs, 'enigma-', ROUTES)
  return {
    ...server,
    sqs,
    queues,
    url: (route: string) => queues.find((queue) => queue.route.name === route)?.url as string,
  }
}
