import { backoffMs, sleep, type Logger } from '../../runtime/index.ts'
import { words } from '../connection.ts'
import type { BackupFiles, Chunk, ReadRecord } from './backup-files.ts'
import { formatPosition } from './backup-folder.ts'
import type { Writer } from './writer.ts'

export type DrainOptions = {
  readonly files: BackupFiles
  readonly writer: Writer
  readonly chunkPackets: number
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  readonly signal: AbortSignal
}

/** How long (ms) a key that refuses packets waits before it is tried again. */
const REFUSED_MS = 1_000

/** Pushes the packets in the files, the oldest first, until none is left or the signal aborts. */
export async function drainFiles({ files, writer, chunkPackets, log, signal }: DrainOptions): Promise<void> {
  const refusals = createRefusals(log)
  let failures = 0
  let pushed = 0

  /** Resolves with the number of packets of the chunk that are in Redis now. @throws why Redis accepts nothing */
  const push = async ({ records, end }: Chunk): Promise<number> => {
    const note = await writer.ready()
    // An earlier run, or a command whose answer was lost, pushed more than the files record.
    if (note.at !== undefined && files.isAhead(note.at)) {
      await files.advance(note.at)
      return 0
    }
    const { move, rest } = refusals.split(records.filter(({ op }) => op === undefined || op !== note.op))
    if (move.length > 0) {
      // Appended first, then removed from its old position: a crash in between makes a copy.
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
 * Keeps the keys that refuse packets while Redis accepts others, such as a key that is not a list. Their packets are all moved to the end of the
 * files, in order, so that others proceed. When the first moved packet comes up again, the key is retried.
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
