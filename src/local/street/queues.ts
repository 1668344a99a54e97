import { SQSClient } from '@aws-sdk/client-sqs'
import { join } from 'node:path'
import type { Route, Routes } from '../../protocol/index.ts'
import type { Release } from '../../runtime/index.ts'
import { createQueues } from '../queues.ts'
import { startSqsServer } from '../sqs-server.ts'
import { StreetError } from '../errors.ts'
import { LOCAL_AWS } from './settings.ts'

/** The local SQS with every queue. */
export type Queues = {
  readonly endpoint: string
  readonly sqs: SQSClient
  readonly urls: ReadonlyMap<Route, string>
}

/** Starts fauxqs, its state in `<folder>/sqs`, and makes the queues that are not there. @throws StreetError `dev.queues.invalid` */
export async function startQueues(folder: string, prefix: string, routes: Routes, release: Release): Promise<Queues> {
  const server = await startSqsServer({ dataDir: join(folder, 'sqs'), region: LOCAL_AWS.AWS_REGION })
  release(() => server.stop())
  const sqs = new SQSClient({
    endpoint: server.endpoint,
    region: LOCAL_AWS.AWS_REGION,
    credentials: { accessKeyId: LOCAL_AWS.AWS_ACCESS_KEY_ID, secretAccessKey: LOCAL_AWS.AWS_SECRET_ACCESS_KEY },
    useQueueUrlAsEndpoint: false,
    // Each poller of each function keeps one busy.
    requestHandler: { httpAgent: { maxSockets: 256, keepAlive: true } },
  })
  release(() => sqs.destroy())
  const made = await createQueues(sqs, prefix, routes).catch((cause: unknown) => {
    const words = cause instanceof Error ? cause.message || cause.name : String(cause)
    throw new StreetError(
      'dev.queues.invalid',
      `the queues kept in ${join(folder, 'sqs')} do not fit (${words}): remove that folder and start again`,
      { cause },
    )
  })
  return { endpoint: server.endpoint, sqs, urls: new Map(made.map(({ route, url }) => [route, url])) }
}
