import { SQSClient } from '@aws-sdk/client-sqs'
import { buildApp } from 'fauxqs'
import { Hono } from 'hono'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Routes } from '../protocol/index.ts'
import { createQueues } from '../relay/targets/sqs/sqs-target.ts'
import type { Release } from '../runtime/index.ts'
import { serveApp, StreetError, wordsOf } from './servers.ts'

export type SqsServerOptions = {
  /** TCP port on 127.0.0.1. Default 0: any free one. */
  readonly port?: number
  /** Folder in which queues and messages are kept between runs. Default: memory only. */
  readonly dataDir?: string
  /** The region of the queues' ARNs. Default `us-east-1`. */
  readonly region?: string
}

type Stores = NonNullable<NonNullable<Parameters<typeof buildApp>[0]>['stores']>

/**
 * Starts fauxqs, a local SQS, in this process on 127.0.0.1. It accepts any credentials. Its own `startFauxqs` listens on all interfaces, and
 * only that function can keep state. So this function builds the application from the same parts. They are not exported by name, which is
 * why they are imported by file.
 */
export async function startSqsServer(options: SqsServerOptions = {}) {
  const stores = options.dataDir === undefined ? undefined : await openStores(options.dataDir)
  const app = buildApp({
    logger: false,
    ...(options.region === undefined ? {} : { defaultRegion: options.region }),
    ...(stores === undefined ? {} : { stores: stores.stores }),
  })
  if (stores !== undefined) app.addHook('onClose', () => stores.close())
  const endpoint = await app.listen({ port: options.port ?? 0, host: '127.0.0.1' })
  return { endpoint, stop: () => app.close() }
}

type Persistence = {
  readonly db: { exec: (sql: string) => void }
  load: (sqs: unknown, sns: unknown, s3: unknown) => void
  close: () => void
}

async function openStores(dataDir: string): Promise<{ stores: Stores; close: () => void }> {
  await mkdir(dataDir, { recursive: true })
  const part = async <T>(file: string) => (await import(new URL(file, import.meta.resolve('fauxqs')).href)) as T
  const { SqsStore } = await part<{ SqsStore: new () => Stores['sqsStore'] }>('sqs/sqsStore.js')
  const { SnsStore } = await part<{ SnsStore: new () => Stores['snsStore'] }>('sns/snsStore.js')
  const { S3Store } = await part<{ S3Store: new () => Stores['s3Store'] }>('s3/s3Store.js')
  const { PersistenceManager } = await part<{ PersistenceManager: new (dir: string) => Persistence }>('persistence.js')
  const stores: Stores = { sqsStore: new SqsStore(), snsStore: new SnsStore(), s3Store: new S3Store() }
  const persistence = new PersistenceManager(dataDir)
  // fauxqs waits for the disk after each message, which took half of the street's time. Without that wait, a crash of this process
  // still loses nothing. Only a crash of the machine does.
  persistence.db.exec('PRAGMA synchronous = OFF')
  persistence.load(stores.sqsStore, stores.snsStore, stores.s3Store)
  Object.assign(stores.sqsStore, { persistence })
  for (const queue of stores.sqsStore.allQueues()) Object.assign(queue, { persistence })
  return { stores, close: () => persistence.close() }
}

/** The credentials of the local AWS. The street always uses them, so that it never writes to a real queue by accident. */
export const LOCAL_AWS = {
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
} as const

/** Starts fauxqs with its state in `<folder>/sqs`, and creates missing queues. @throws StreetError `dev.queues.invalid` */
export async function startQueues(folder: string, prefix: string, routes: Routes, release: Release) {
  const server = await startSqsServer({ dataDir: join(folder, 'sqs'), region: LOCAL_AWS.AWS_REGION })
  release(() => server.stop())
  const sqs = new SQSClient({
    endpoint: server.endpoint,
    region: LOCAL_AWS.AWS_REGION,
    credentials: { accessKeyId: LOCAL_AWS.AWS_ACCESS_KEY_ID, secretAccessKey: LOCAL_AWS.AWS_SECRET_ACCESS_KEY },
    useQueueUrlAsEndpoint: false,
    // Each poller of each function keeps one socket busy.
    requestHandler: { httpAgent: { maxSockets: 256, keepAlive: true } },
  })
  release(() => sqs.destroy())
  const created = await createQueues(sqs, prefix, routes).catch((cause: unknown) => {
    throw new StreetError(
      'dev.queues.invalid',
      `the queues kept in ${join(folder, 'sqs')} do not match the declared queues (${wordsOf(cause)}): remove that folder and start again`,
      { cause },
    )
  })
  return { endpoint: server.endpoint, sqs, urls: new Map(created.map(({ route, url }) => [route, url])) }
}

/** The local SQS, with the URL of each route's queue. */
export type Queues = Awaited<ReturnType<typeof startQueues>>

const TYPE = { 'content-type': 'application/x-amz-json-1.1' }

/** The error with which every request is answered. */
type Fault = { readonly status: number; readonly code: string }

/**
 * Starts the part of Parameter Store that functions use: GetParameters on 127.0.0.1. It answers signed requests only. It returns the value of a
 * SecureString only if the request asks for decryption. Source: the Systems Manager API reference.
 */
export async function startParameterStore(given: Readonly<Record<string, string>> = {}) {
  /** Value by name. A test may change it at any time. */
  const values = new Map(Object.entries(given))
  /** The number of requests. */
  const seen = { requests: 0 }
  const app = new Hono()
  app.post('/', async (c) => {
    seen.requests++
    const refuse = (status: number, code: string, message: string) =>
      c.body(JSON.stringify({ __type: code, message }), status as 400, TYPE)
    if (store.fault !== undefined) return refuse(store.fault.status, store.fault.code, 'as was wanted')
    if (
      !/^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/[^/]+\/ssm\/aws4_request, /.test(c.req.header('authorization') ?? '')
    ) {
      return refuse(400, 'MissingAuthenticationTokenException', 'Missing Authentication Token')
    }
    if (c.req.header('x-amz-target') !== 'AmazonSSM.GetParameters') return refuse(400, 'UnknownOperationException', '')
    const { Names = [], WithDecryption } = await c.req.json<{ Names?: readonly string[]; WithDecryption?: boolean }>()
    if (Names.length === 0 || Names.length > 10)
      return refuse(400, 'ValidationException', 'Member must have length between 1 and 10')
    const Parameters = Names.filter((Name) => values.has(Name)).map((Name) => ({
      Name,
      Type: 'SecureString',
      Value: WithDecryption === true ? values.get(Name) : Buffer.from('encrypted').toString('base64'),
    }))
    const InvalidParameters = Names.filter((Name) => !values.has(Name))
    return c.body(JSON.stringify({ Parameters, InvalidParameters }), 200, TYPE)
  })
  const { url, stop } = await serveApp(app)
  const store = { url: `${url}/`, values, seen, fault: undefined as Fault | undefined, stop }
  return store
}
