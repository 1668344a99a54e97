import { deliver, type Delivered } from './deliver.ts'
import type { BackupFiles } from './files.ts'
import type { BackupLog } from './options.ts'
import type { Item } from './record.ts'
import type { Writer } from './writer.ts'

export type RefusedOptions = {
  readonly files: BackupFiles
  readonly writer: Writer
  readonly chunkPackets: number
  readonly retryMs: number
  readonly log: BackupLog
}

/** Packets of keys that refuse while Redis takes others: they wait in files of their own, in order, and hurt no other key. */
export function createRefused({ files, writer, chunkPackets, retryMs, log }: RefusedOptions) {
  /** All packets of these go here. Those of a former run are not known before all have been tried. */
  let keys = new Set<string>()
  let isKnown = files.pending === 0
  let nextTryMs = 0

  const putAside = async (items: readonly Item[]): Promise<void> => {
    await files.append(items)
    if (nextTryMs === 0) nextTryMs = performance.now() + retryMs
  }
  const sayNew = (key: string) => {
    log.error({ key }, 'Redis takes no packet for this key: is it a list, has the user the right? They wait in files of their own, and are tried again')
  }
  const refusing = (into: Set<string>, said: ReadonlySet<string>) =>
    Object.assign(into, {
      add: (key: string) => {
        if (!into.has(key) && !said.has(key)) sayNew(key)
        return Set.prototype.add.call(into, key)
      },
    })

  return { keys, isKnown, putAside, deliver, refusing, chunkPackets, writer } as unknown as Delivered
}

export type Refused = ReturnType<typeof createRefused>
