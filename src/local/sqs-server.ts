import { mkdir } from 'node:fs/promises'
import { buildApp } from 'fauxqs'

export type SqsServerOptions = {
  /** TCP port on 127.0.0.1. Default 0: any free one. */
  readonly port?: number
  /** Where queues and messages are kept between runs. Default: memory only. */
  readonly dataDir?: string
  /** The region of the queues' ARNs. Default `us-east-1`. */
  readonly region?: string
}

/** A local SQS in this process; any credentials are accepted. */
export type SqsServer = { readonly endpoint: string; stop: () => Promise<void> }

type Stores = NonNullable<NonNullable<Parameters<typeof buildApp>[0]>['stores']>

/**
 * Starts fauxqs on 127.0.0.1. Its own `startFauxqs` listens on all interfaces and alone knows how to keep state, so the
 * application is built here from the same parts; they are not exported by name, hence the imports by file.
 */
export async function startSqsServer(options: SqsServerOptions = {}): Promise<SqsServer> {
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
  // It writes each message at once and waits for the disk, which took half of the street's time. A crash of this process loses
  // nothing without that either; only one of the machine does.
  persistence.db.exec('PRAGMA synchronous = OFF')
  persistence.load(stores.sqsStore, stores.snsStore, stores.s3Store)
  Object.assign(stores.sqsStore, { persistence })
  for (const queue of stores.sqsStore.allQueues()) Object.assign(queue, { persistence })
  return { stores, close: () => persistence.close() }
}
