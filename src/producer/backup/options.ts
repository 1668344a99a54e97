import type { Code } from '../../runtime/index.ts'
import type { WritePacket } from '../outgoing.ts'

/** Where a producer logs what happens to its backup; a pino logger fits. Each line has a `code`, and no line holds a packet. */
export type BackupLog = Readonly<
  Record<
    'info' | 'warn' | 'error',
    (fields: { readonly code: Code; readonly [field: string]: unknown }, message: string) => void
  >
>

/** Keeps what Redis did not take in files, and pushes it when Redis takes again. */
export type BackupOptions = {
  /** A folder for the files, for this producer alone; made when it is not there. Keep it: what a killed producer left is pushed by the next. */
  readonly folder: string
  /** From this size on (bytes) a file is not added to any more, and a new one begun; a file is removed when all of it is pushed. Default 16 MiB. */
  readonly maxFileBytes?: number
  /**
   * Which PubSub packets are kept as well. Default none: most matter only now, and a call that pops up late is worse than none. Those
   * are rejected while Redis does not take them. `key` is the channel.
   */
  readonly pubsub?: (key: string, packet: WritePacket) => boolean
  /** Default: nothing is said. */
  readonly log?: BackupLog
}

/** The state of a producer's backup. */
export type Backup = {
  /** How many packets are in the files, not yet in Redis. */
  readonly pending: number
  /** Resolves when no packet waits, in memory or in the files. @throws ProducerError `producer.connection.closed` */
  drained: () => Promise<void>
}
