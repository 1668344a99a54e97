import { backoffMs, type Logger, sleep } from '../../runtime/index.ts'
import { type Connection, ProducerError, words } from '../connection.ts'
import type { WritePacket } from '../packets.ts'
import { type BackupFiles, type Chunk, openBackupFiles, type ReadRecord } from './backup-files.ts'
import { formatPosition, type Item, lockFolder } from './backup-folder.ts'
import { createWriter, type Writer } from './writer.ts'

/** Where a producer logs the events of its backup; a pino logger fits. Each line has a `code`, and no line contains a packet. */
export type BackupLog = Pick<Logger, 'info' | 'warn' | 'error'>

/** The options of a backup: it writes packets that Redis did not accept to files, and pushes them when Redis accepts packets again. */
export type BackupOptions = {
  /**
   * A folder for the files, used by this producer alone; created when it does not exist. Keep the folder: the next producer pushes the packets that a
   * killed producer left there.
   */
  readonly folder: string
  /** When a file has reached this size (bytes), a new one is started. A file is removed when all of its packets are pushed. Default 16 MiB. */
  readonly maxFileBytes?: number
  /**
   * Selects the Pub/Sub packets that are kept as well. Default none: most matter only now, and a late screen pop is worse than none. The promises of
   * packets that are not selected reject while Redis does not accept them. `key` is the channel.
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

/** Packets of one key that are written together, and the promise of the caller. */
type Parcel = PromiseWithResolvers<number> & { readonly items: readonly Item[] }

const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined }

/**
 * Opens a queue into Redis that is backed by files. While the files are empty, all parcels that have gathered go straight to Redis. Packets that Redis
 * does not accept go to the files, and so do all newer packets until the files are drained. @throws ProducerError `producer.backup.locked`,
 * `producer.backup.unusable`
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
      const why = refusal === undefined ? 'older packets wait before it' : words(refusal)
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
    /** Writes the packets that were put before to Redis or to the files, and closes the files. */
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
    const text = `the backup folder ${folder} cannot be used (${words(cause)}): choose a folder that this user can write to`
    throw new ProducerError('producer.backup.unusable', text, { cause })
  }
}

type DrainOptions = {
  readonly files: BackupFiles
  readonly writer: Writer
  readonly chunkPackets: number
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  readonly signal: AbortSignal
}

/** How long (ms) a key that refuses packets waits before it is tried again. */
const REFUSED_MS = 1_000

/** Pushes the packets in the files, the oldest first, until none is left or the signal aborts. */
async function drainFiles({ files, writer, chunkPackets, log, signal }: DrainOptions): Promise<void> {
  const refusals = createRefusals(log)
  let failures = 0
  let pushed = 0

  /** Resolves with the number of packets of the chunk that are in Redis now. @throws why Redis accepts nothing */
  const push = async ({ records, end }: Chunk): Promise<number> => {
    const note = await writer.ready()
    // An earlier run, or a command whose answer was lost, pushed more packets than the state file records.
    if (note.at !== undefined && files.isAhead(note.at)) {
      await files.advance(note.at)
      return 0
    }
    const { move, rest } = refusals.split(records.filter(({ op }) => op === undefined || op !== note.op))
    if (move.length > 0) {
      // First appended, then removed from the old position: a crash in between causes copies, but no loss.
      refusals.moved(move, await files.append(move))
    }
    if (rest.length === 0) {
      await files.advance(end)
      return 0
    }
    const { results, refused, cause } = await writer.write(rest, formatPosition(end))
    const last = rest[results.length - 1]
    if (results.length === rest.length) await files.advance(end)
    else if (last !== undefined) await files.advance(last.end)
    for (const key of refused ?? []) refusals.add(key)
    if (refused !== undefined) await sleep(REFUSED_MS, signal)
    else if (cause !== undefined) throw cause
    return results.length
  }

  while (!signal.aborted) {
    try {
      const chunk = await files.read(chunkPackets)
      if (chunk === undefined) break
      pushed += await push(chunk)
      if (failures > 0)
        log.info(
          { code: 'producer.backup.resumed', packets: files.pending },
          'Redis accepts packets again; the producer pushes the packets in the backup folder',
        )
      failures = 0
    } catch (error) {
      if (failures++ === 0)
        log.warn(
          { code: 'producer.backup.waiting', packets: files.pending, error: words(error) },
          'Redis accepts no packets: they wait in the backup folder, and the producer retries',
        )
      await sleep(backoffMs(failures, { baseMs: 50, maxMs: 1_000 }), signal)
    }
  }
  if (pushed > 0 && !signal.aborted)
    log.info({ code: 'producer.backup.drained', packets: pushed }, 'every packet in the backup folder was pushed')
}

/**
 * Keeps track of the keys that refuse packets while Redis accepts others, such as a key that is not a list. All packets for these keys are moved to
 * the end of the files, in order, so that the others proceed. When the first moved packet is read again, the key is retried.
 */
function createRefusals(log: DrainOptions['log']) {
  /** By key: the number of the first moved packet at its new position, and of the last one at its old position. */
  const keys = new Map<string, { first: number | undefined; movedTo: number }>()
  const logged = new Set<string>()

  return {
    add(key: string): void {
      if (!logged.has(key)) {
        log.error(
          { code: 'producer.key.refused', key },
          'Redis refuses packets for this key: check that it is a list and that the user may write to it. Its packets wait in the backup folder; packets for other keys proceed',
        )
      }
      logged.add(key)
      keys.set(key, { first: undefined, movedTo: 0 })
    },
    /** Splits records into those to move and those to try. */
    split(records: readonly ReadRecord[]): { readonly move: ReadRecord[]; readonly rest: ReadRecord[] } {
      const move: ReadRecord[] = []
      const rest: ReadRecord[] = []
      for (const record of records) {
        const refusal = keys.get(record.key)
        if (refusal?.first !== undefined && record.number >= refusal.first) keys.delete(record.key)
        if (!keys.has(record.key)) rest.push(record)
        else if (record.number > (refusal?.movedTo ?? 0)) move.push(record)
      }
      return { move, rest }
    },
    /** Records that these packets are at the end now, the first of them with this number. */
    moved(records: readonly ReadRecord[], firstNumber: number): void {
      for (const [at, { key, number }] of records.entries()) {
        const refusal = keys.get(key)
        if (refusal === undefined) continue
        refusal.first ??= firstNumber + at
        refusal.movedTo = number
      }
    },
  }
}
