import type { JournalEntry } from '../journal/journal-row.ts'
import { isNoticeChannel, stampNotice } from './notice.ts'
import type { Stamp, Stamped } from './stamp.ts'

/** Makes a row of the journal the very notification that it was when it was heard, or said by the relay itself: the same id and bytes. */
export function stampEntry(entry: JournalEntry, stamp: Stamp): Stamped {
  if (isNoticeChannel(entry.channel)) {
    try {
      return stampNotice(entry.packet, entry)
    } catch {
      // Of a damaged journal: what cannot be read as a notice goes on as what it is.
    }
  }
  const { sourceId, channel, number, index, timeMs } = entry
  return stamp(entry.packet, { sourceId, transport: 'pubsub', channel, number, index, timeMs })
}
