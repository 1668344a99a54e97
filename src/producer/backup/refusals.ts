import type { ReadRecord } from './files.ts'
import type { BackupLog } from './options.ts'

/**
 * Keys that take no packet while Redis takes others: such as one that is not a list. Their packets are moved to the end of the files,
 * all of them, in order, so that others go on; when the first of those that were moved comes up, the key is tried again.
 */
export function createRefusals(log: BackupLog) {
  /** By key: the number of the first that was moved, at its new place, and the last one that was, at its old place. */
  const keys = new Map<string, { first: number | undefined; movedTo: number }>()
  const said = new Set<string>()

  return {
    add(key: string): void {
      if (!said.has(key)) {
        log.error(
          { code: 'producer.key.refused', key },
          'Redis refuses packets for this key: check that it is a list and that the user may write to it. Its packets wait in the backup folder, those of other keys go on',
        )
      }
      said.add(key)
      keys.set(key, { first: undefined, movedTo: 0 })
    },
    /** What is to be moved, and what is to be tried. */
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
    /** These stand at the end now, the first of them with this number. */
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
