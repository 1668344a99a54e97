import type { GapCause } from '../../protocol/index.ts'
import type { Logger } from '../../runtime/index.ts'
import type { Lost } from '../journal/journal-row.ts'
import type { Metrics } from '../metrics.ts'
import type { JournalIntake } from '../pubsub/pubsub-intake.ts'
import type { Heard } from '../pubsub/unwritten.ts'
import { unaskedIndex } from '../redis/numbers.ts'
import { formatNotice, noticeChannel, stampNotice, type Notice } from './notice.ts'

/** A time span in which Pub/Sub of a source could not be heard. `number`: of the first notification heard after it, or lower. */
export type Gap = { readonly fromMs: number; readonly toMs: number; readonly cause: GapCause; readonly number: number }

export type AnnouncerOptions = {
  readonly relayId: string
  readonly patterns: readonly string[]
  /** Where the index begins in what this relay numbers by itself. */
  readonly ownIndex: number
  /** Takes notices as if they had been heard. */
  readonly intake: Pick<JournalIntake, 'hear' | 'written'>
  readonly metrics: Metrics
  readonly log: Logger
  readonly now: () => number
}

/** Sends the relay's own notices (parked notifications, gaps) through the journal, as if they had been heard on Pub/Sub. */
export function createAnnouncer({ relayId, patterns, ownIndex, intake, metrics, log, now }: AnnouncerOptions) {
  const toHeard = (sourceId: string, notice: Notice, number: number, index: number): Heard => {
    const origin = { sourceId, number, index, timeMs: now() }
    const packet = formatNotice(notice)
    const stamped = stampNotice(packet, origin)
    return { stamped, entry: { ...origin, route: stamped.route.name, channel: noticeChannel(sourceId), packet } }
  }
  const gapOf = (sourceId: string, { fromMs, toMs, cause }: Omit<Gap, 'number'>) => ({
    source: sourceId,
    relay: relayId,
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    cause,
    patterns: [...patterns],
  })
  /** Resolves when the notice is in the journal, or the journal cannot be written. `number`: one that nothing else of the source has. */
  const announce = (sourceId: string, notice: Notice, number: number): Promise<void> => {
    const { stamped, entry } = toHeard(sourceId, notice, number, ownIndex)
    intake.hear(stamped, entry)
    return intake.written()
  }

  return {
    announce,
    announceGap(sourceId: string, gap: Gap): void {
      const payload = gapOf(sourceId, gap)
      const { from, to, cause } = payload
      metrics.gaps.inc({ source: sourceId, cause })
      metrics.gapSeconds.inc({ source: sourceId }, Math.max(0, gap.toMs - gap.fromMs) / 1000)
      log.warn(
        { code: 'relay.pubsub.gap', source: sourceId, from, to, cause },
        'The relay could not hear Pub/Sub for a time span (a gap)',
      )
      void announce(sourceId, { subType: 'gap', payload }, gap.number)
    },
    /** Makes the notice of a gap from discarded notifications. `number`: the relay's own, since Redis may be away. */
    toGap(lost: Lost, number: number): Heard {
      metrics.gaps.inc({ source: lost.sourceId, cause: lost.cause })
      const known = {
        ...(lost.lost > 0 ? { lost: lost.lost } : {}),
        ...(lost.route === '' ? {} : { route: lost.route }),
      }
      const notice: Notice = { subType: 'gap', payload: { ...gapOf(lost.sourceId, lost), ...known } }
      return toHeard(lost.sourceId, notice, number, unaskedIndex(ownIndex))
    },
  }
}

export type Announcer = ReturnType<typeof createAnnouncer>
