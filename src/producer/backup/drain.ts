import { backoffMs, sleep } from '../../runtime/index.ts'
import { words } from '../answer.ts'
import type { BackupFiles, Chunk } from './files.ts'
import type { BackupLog } from './options.ts'
import { formatPosition } from './position.ts'
import type { Item } from './record.ts'
import { createRefusals } from './refusals.ts'
import type { Writer } from './writer.ts'

export type DrainOptions = {
  readonly files: BackupFiles
  /** One command at a time. */
  readonly writer: Pick<Writer, 'ready' | 'write'>
  /** Adds packets to the files. Resolves to the number of the first. */
  readonly append: (items: readonly Item[]) => Promise<number>
  readonly chunkPackets: number
  readonly log: BackupLog
  readonly signal: AbortSignal
}

/** How long (ms) a key that refuses waits before it is tried again. */
const REFUSED_MS = 1_000

/** Pushes what is in the files, the oldest first, until there is nothing left or the signal aborts. */
export async function drainFiles({ files, writer, append, chunkPackets, log, signal }: DrainOptions): Promise<void> {
  const refusals = createRefusals(log)
  let failures = 0
  let pushed = 0

  /** Resolves to how many packets of it are in Redis now. @throws why Redis takes nothing */
  const push = async ({ records, end }: Chunk): Promise<number> => {
    const note = await writer.ready()
    // A former run, or an answer that was lost, came further than the files know.
    if (note.at !== undefined && files.isAhead(note.at)) {
      await files.advance(note.at)
      return 0
    }
    const { move, rest } = refusals.split(records.filter(({ op }) => op === undefined || op !== note.op))
    if (move.length > 0) {
      // First at the end, then gone from here: a crash in between brings a copy.
      refusals.moved(move, await append(move))
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
          'Redis accepts packets again; the producer pushes those in the backup folder',
        )
      failures = 0
    } catch (error) {
      if (failures++ === 0)
        log.warn(
          { code: 'producer.backup.waiting', packets: files.pending, error: words(error) },
          'Redis accepts no packets: they wait in the backup folder, and the producer tries again',
        )
      await sleep(backoffMs(failures, { baseMs: 50, maxMs: 1_000 }), signal)
    }
  }
  if (pushed > 0 && !signal.aborted)
    log.info({ code: 'producer.backup.drained', packets: pushed }, 'every packet in the backup folder was pushed')
}
