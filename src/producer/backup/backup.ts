import { words } from '../answer.ts'
import type { Connection } from '../connection.ts'
import { ProducerError } from '../errors.ts'
import { drainFiles } from './drain.ts'
import { openBackupFiles } from './files.ts'
import { lockFolder } from './lock.ts'
import type { Backup, BackupOptions } from './options.ts'
import type { Item } from './record.ts'
import { createTurns } from './turns.ts'
import { createWriter } from './writer.ts'

export type OpenBackupOptions = {
  readonly options: BackupOptions
  readonly connection: Pick<Connection, 'get' | 'renew'>
  readonly timeoutMs: number
  readonly chunkPackets: number
}

/** Packets of one key that are taken all or none, and who waits for that. */
type Parcel = {
  readonly items: readonly Item[]
  readonly resolve: (result: number) => void
  readonly reject: (error: ProducerError) => void
}

const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined }

/**
 * A queue into Redis with files behind it. While the files are empty, parcels go straight to Redis, as many at once as have gathered;
 * what Redis does not take goes to the files, and everything newer behind it, until they are drained.
 *
 * @throws ProducerError `producer.backup.locked`, `producer.backup.unusable`
 */
export function openBackup({
  options: { folder, maxFileBytes = 16 * 1024 * 1024, log = SILENT },
  connection,
  timeoutMs,
  chunkPackets,
}: OpenBackupOptions) {
  const { lock, files } = open(folder, maxFileBytes, log)
  const raw = createWriter({ connection, id: files.id, run: files.run, timeoutMs, log })
  const [inTurn, appending] = [createTurns(), createTurns()]
  const writer = {
    ready: () => inTurn(raw.ready),
    write: (items: readonly Item[], at?: string) => inTurn(() => raw.write(items, at)),
  }
  const append = (items: readonly Item[], op?: string) => appending(() => files.append(items, op))
  const stopping = new AbortController()
  const waiters = new Set<PromiseWithResolvers<void>>()
  const waiting: Parcel[] = []
  let pumping: Promise<void> | undefined
  let draining: Promise<void> | undefined

  const look = () => {
    if (waiting.length > 0 || pumping !== undefined || draining !== undefined || !files.isEmpty) return
    for (const { resolve } of waiters) resolve()
    waiters.clear()
  }

  const drain = () => {
    draining ??= drainFiles({ files, writer, append, chunkPackets, log, signal: stopping.signal }).finally(() => {
      draining = undefined
      // Something may have come in between. What is just being added drains when it is there.
      if (files.pending > 0 && !stopping.signal.aborted) drain()
      look()
    })
  }

  const takeParcels = (): Parcel[] => {
    let packets = 0
    const end = waiting.findIndex(({ items }, at) => (packets += items.length) > chunkPackets && at > 0)
    return waiting.splice(0, end < 0 ? waiting.length : end)
  }

  const keep = async (parcels: readonly Parcel[], op?: string, refusal?: unknown): Promise<void> => {
    try {
      await append(
        parcels.flatMap(({ items }) => items),
        op,
      )
      for (const { resolve } of parcels) resolve(0)
      drain()
    } catch (cause) {
      const why = refusal === undefined ? 'others wait before it' : words(refusal)
      const message = `the packet is neither in Redis (${why}) nor in the backup folder ${folder} (${words(cause)}): keep it and write it again`
      for (const { reject } of parcels) reject(new ProducerError('producer.backup.not_kept', message, { cause }))
    }
  }

  const writeThrough = async (parcels: readonly Parcel[]): Promise<void> => {
    const { results, op, cause, refused } = await writer.write(parcels.flatMap(({ items }) => items))
    let at = 0
    const left = parcels.filter(({ items, resolve }) => {
      at += items.length
      const result = results[at - 1]
      if (result !== undefined) resolve(Math.max(0, result))
      return result === undefined
    })
    if (left.length > 0) await keep(left, op, cause ?? `it takes no packet for ${[...(refused ?? [])].join(', ')}`)
  }

  const pump = () => {
    pumping ??= (async () => {
      // All that is asked for in this turn of the event loop goes together.
      await Promise.resolve()
      while (waiting.length > 0) {
        const parcels = takeParcels()
        if (files.isEmpty && draining === undefined) await writeThrough(parcels)
        else await keep(parcels)
      }
    })().finally(() => {
      pumping = undefined
      if (waiting.length > 0) pump()
      look()
    })
  }

  if (!files.isEmpty) {
    log.info(
      { code: 'producer.backup.leftovers', folder, packets: files.pending },
      'an earlier run left packets in the backup folder; the producer pushes them first',
    )
    drain()
  }
  const backup: Backup = {
    get pending() {
      return files.pending
    },
    drained: () => {
      const waiter = Promise.withResolvers<void>()
      if (stopping.signal.aborted)
        waiter.reject(new ProducerError('producer.connection.closed', 'the producer is closed'))
      else waiters.add(waiter)
      look()
      return waiter.promise
    },
  }
  return {
    backup,
    /** Resolves to Redis' answer for the last of them, or to 0 when they are in the files. @throws ProducerError `producer.backup.not_kept` */
    put: (items: readonly Item[]): Promise<number> =>
      new Promise((resolve, reject) => {
        waiting.push({ items, resolve, reject })
        pump()
      }),
    /** Writes or keeps what was put before, and leaves what is in the files. */
    async close(): Promise<void> {
      // A pump that ends starts the next one when something has come meanwhile.
      for (let pump = pumping; pump !== undefined; pump = pumping) await pump
      stopping.abort()
      for (const { reject } of waiters)
        reject(
          new ProducerError(
            'producer.connection.closed',
            'the producer is closed; the backup folder keeps the remaining packets',
          ),
        )
      waiters.clear()
      await draining
      await files.close()
      lock.release()
    },
  }
}

function open(folder: string, maxFileBytes: number, log: NonNullable<BackupOptions['log']>) {
  let lock: { release: () => void } | undefined
  try {
    lock = lockFolder(folder)
    return { lock, files: openBackupFiles({ folder, maxFileBytes, log }) }
  } catch (cause) {
    lock?.release()
    if (cause instanceof ProducerError) throw cause
    throw new ProducerError('producer.backup.unusable', `the backup folder ${folder} cannot be used: ${words(cause)}`, {
      cause,
    })
  }
}
