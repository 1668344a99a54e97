import type { Logger } from '../../runtime/index.ts'
import { ProducerError, words, type Connection } from '../connection.ts'
import type { WritePacket } from '../packets.ts'
import { openBackupFiles } from './backup-files.ts'
import { lockFolder, type Item } from './backup-folder.ts'
import { drainFiles } from './drain-files.ts'
import { createWriter } from './writer.ts'

/** Where a producer logs the events of its backup; a pino logger fits. Each line has a `code`, and no line contains a packet. */
export type BackupLog = Pick<Logger, 'info' | 'warn' | 'error'>

/** Keeps packets that Redis did not accept in files, and pushes them when Redis accepts packets again. */
export type BackupOptions = {
  /**
   * A folder for the files, used by this producer alone; created when it does not exist. Keep it: the next producer pushes the packets that a killed
   * one left.
   */
  readonly folder: string
  /** A file that has reached this size (bytes) is not appended to any more. A file is removed when all of it is pushed. Default 16 MiB. */
  readonly maxFileBytes?: number
  /**
   * Selects the Pub/Sub packets that are kept as well. Default none: most matter only now, and a call that pops up late is worse than none. Packets
   * that are not selected are rejected while Redis does not accept them. `key` is the channel.
   */
  readonly pubsub?: (key: string, packet: WritePacket) => boolean
  /** Default: nothing is logged. */
  readonly log?: BackupLog
}

/** The state of a producer's backup. */
export type Backup = {
  /** How many packets are in the files and not yet in Redis. */
  readonly pending: number
  /** Resolves when no packet waits, in memory or in the files. @throws ProducerError `producer.connection.closed` */
  drained: () => Promise<void>
}

/** Packets of one key that are written all or none, and the promise of the caller. */
type Parcel = PromiseWithResolvers<number> & { readonly items: readonly Item[] }

const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined }

/**
 * Opens a queue into Redis with files behind it. While the files are empty, parcels go straight to Redis, as many at once as have gathered. Packets
 * that Redis does not accept go to the files, and all newer ones after them, until the files are drained. @throws ProducerError
 * `producer.backup.locked`, `producer.backup.unusable`
 */
export function openBackup(
  { folder, maxFileBytes = 16 * 1024 * 1024, log = SILENT }: BackupOptions,
  connection: Connection,
  timeoutMs: number,
  chunkPackets: number,
) {
  const { lock, files } = open(folder, maxFileBytes, log)
  const writer = createWriter(connection, files, timeoutMs, log)
  const stopping = new AbortController()
  let idle: PromiseWithResolvers<void> | undefined
  const waiting: Parcel[] = []
  let pumping: Promise<void> | undefined
  let draining: Promise<void> | undefined

  const resolveIfIdle = () => {
    if (waiting.length > 0 || pumping !== undefined || draining !== undefined || !files.isEmpty) return
    idle?.resolve()
    idle = undefined
  }

  const drain = () => {
    draining ??= drainFiles({ files, writer, chunkPackets, log, signal: stopping.signal }).finally(() => {
      draining = undefined
      // Packets may have been added meanwhile. An append that is in progress starts draining when it is done.
      if (files.pending > 0 && !stopping.signal.aborted) drain()
      resolveIfIdle()
    })
  }

  const takeParcels = (): Parcel[] => {
    let packets = 0
    const end = waiting.findIndex(({ items }, at) => (packets += items.length) > chunkPackets && at > 0)
    return waiting.splice(0, end < 0 ? waiting.length : end)
  }

  const keep = async (parcels: readonly Parcel[], op?: string, refusal?: unknown): Promise<void> => {
    const items = parcels.flatMap((parcel) => parcel.items)
    try {
      await files.append(items, op)
      for (const { resolve } of parcels) resolve(0)
      drain()
    } catch (cause) {
      const why = refusal === undefined ? 'other packets wait before it' : words(refusal)
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
    if (left.length > 0) await keep(left, op, cause ?? `Redis refuses packets for ${[...(refused ?? [])].join(', ')}`)
  }

  const pump = () => {
    pumping ??= (async () => {
      // All packets of this turn of the event loop are written together.
      await Promise.resolve()
      while (waiting.length > 0) {
        const parcels = takeParcels()
        if (files.isEmpty && draining === undefined) await writeThrough(parcels)
        else await keep(parcels)
      }
    })().finally(() => {
      pumping = undefined
      if (waiting.length > 0) pump()
      resolveIfIdle()
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
      if (stopping.signal.aborted)
        return Promise.reject(new ProducerError('producer.connection.closed', 'the producer is closed'))
      const { promise } = (idle ??= Promise.withResolvers())
      resolveIfIdle()
      return promise
    },
  }
  return {
    backup,
    /**
     * Resolves with Redis' answer for the last packet, or with 0 when the packets are in the files. @throws ProducerError `producer.backup.not_kept`
     */
    put: (items: readonly Item[]): Promise<number> => {
      const parcel = { items, ...Promise.withResolvers<number>() }
      waiting.push(parcel)
      pump()
      return parcel.promise
    },
    /** Writes or keeps the packets that were put before, and leaves the files. */
    async close(): Promise<void> {
      // A pump that ends starts the next one when packets were added meanwhile.
      for (let running = pumping; running !== undefined; running = pumping) await running
      stopping.abort()
      const message = 'the producer is closed; the backup folder keeps the remaining packets'
      idle?.reject(new ProducerError('producer.connection.closed', message))
      await draining
      await files.close()
      lock.release()
    },
  }
}

function open(folder: string, maxFileBytes: number, log: BackupLog) {
  let lock: { release: () => void } | undefined
  try {
    lock = lockFolder(folder)
    return { lock, files: openBackupFiles(folder, maxFileBytes, log) }
  } catch (cause) {
    lock?.release()
    if (cause instanceof ProducerError) throw cause
    throw new ProducerError('producer.backup.unusable', `the backup folder ${folder} cannot be used: ${words(cause)}`, {
      cause,
    })
  }
}
