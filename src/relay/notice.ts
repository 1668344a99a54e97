import {
  formatEvent,
  formatEventType,
  formatId,
  formatSequence,
  formatTraceparent,
  isObject,
  OTHER,
  RELAY_ROUTES,
  RELAY_TYPE,
  toEventSource,
  toText,
  type GapCause,
  type RelayAlive,
  type RelayGap,
  type RelayParked,
  type Route,
} from '../protocol/index.ts'
import { sleep } from '../runtime/index.ts'
import { stampEvent, toItem, type Item, type PacketOrigin, type Stamp, type Stamped } from './item.ts'
import type { Heard, JournalEntry, Lost } from './journal/journal-entry.ts'
import type { Tools } from './metrics.ts'
import type { PubsubIntake } from './pubsub/pubsub-intake.ts'
import { offlineIndex, ownIndex as ownIndexOf, RELAY_PREFIX } from './redis/relay-keys.ts'
import type { SourceOptions } from './source.ts'

/** A notification of the relay itself, and its payload. */
export type Notice =
  | { readonly subType: 'alive'; readonly payload: RelayAlive }
  | { readonly subType: 'gap'; readonly payload: RelayGap }
  | { readonly subType: 'parked'; readonly payload: RelayParked }

/** The origin of a notice. Nothing else of the source has its number. */
type NoticeOrigin = Pick<PacketOrigin, 'sourceId' | 'number' | 'index' | 'timeMs'>

/** The channel of a source's notices, `enigma:relay:main`. No dialler writes there, and the relay does not subscribe to it. */
export const noticeChannel = (sourceId: string): string => RELAY_PREFIX + sourceId

export const isNoticeChannel = (channel: string): boolean => channel.startsWith(RELAY_PREFIX)

/** Formats a notice as a packet, the form in which the journal keeps it. */
export const formatNotice = ({ subType, payload }: Notice): Buffer =>
  Buffer.from(JSON.stringify({ type: subType, payload }))

/** Makes a notification of its source from a packet of `formatNotice`. The subject is the parked id, the running relay, or the source. */
export function stampNotice(packet: Uint8Array, { sourceId, number, index, timeMs }: NoticeOrigin): Stamped {
  const data = toText(packet) ?? ''
  const { type: subType, payload } = JSON.parse(data) as { type: string; payload: unknown }
  const named = isObject(payload) ? payload[subType === 'alive' ? 'relay' : 'id'] : undefined
  const subject = typeof named === 'string' ? named : sourceId
  const route: Route = Object.hasOwn(RELAY_ROUTES, subType) ? RELAY_ROUTES[subType as Notice['subType']] : OTHER
  const id = formatId(sourceId, 'relay', number, index)
  const event = formatEvent({
    id,
    source: toEventSource(sourceId),
    type: formatEventType(RELAY_TYPE, subType),
    subject,
    time: new Date(timeMs).toISOString(),
    datacontenttype: 'application/json',
    data,
    transport: 'relay',
    channel: noticeChannel(sourceId),
    sequence: formatSequence(number, index),
    traceparent: formatTraceparent(sourceId, 'relay', number, index),
  })
  return stampEvent(event, { id, route, receivedMs: timeMs }, [subject, payload])
}

/** Makes the notification or notice of a journal row again, with the same id and bytes as before. */
export function stampEntry(entry: JournalEntry, stamp: Stamp): Stamped {
  if (isNoticeChannel(entry.channel)) {
    try {
      return stampNotice(entry.packet, entry)
    } catch {
      // A damaged journal: a row that cannot be read as a notice is sent as a packet.
    }
  }
  const { sourceId, channel, number, index, timeMs } = entry
  return stamp(entry.packet, { sourceId, transport: 'pubsub', channel, number, index, timeMs })
}

/** A time span in which Pub/Sub of a source could not be heard. `number`: the number of the first notification heard after it, or a lower one. */
export type Gap = { readonly fromMs: number; readonly toMs: number; readonly cause: GapCause; readonly number: number }

type AnnouncerOptions = Pick<SourceOptions, 'ownIndex' | 'metrics' | 'log' | 'now'> & {
  readonly relayId: string
  readonly patterns: readonly string[]
  /** Takes notices like notifications that were heard. */
  readonly intake: Pick<PubsubIntake, 'hear' | 'written'>
}

/** Creates the announcer: it sends gaps and parked notifications as notices through the journal, like notifications that were heard on Pub/Sub. */
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
  /** Resolves when the notice is in the journal, or when the journal cannot be written. `number`: one that nothing else of the source has. */
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
    /** Makes the notice of a gap for discarded notifications. `number`: one of the relay's own, because Redis may be unreachable. */
    toGap(lost: Lost, number: number): Heard {
      metrics.gaps.inc({ source: lost.sourceId, cause: lost.cause })
      const payload = {
        ...gapOf(lost.sourceId, lost),
        ...(lost.lost > 0 ? { lost: lost.lost } : {}),
        ...(lost.route === '' ? {} : { route: lost.route }),
      }
      return toHeard(lost.sourceId, { subType: 'gap', payload }, number, offlineIndex(ownIndex))
    },
  }
}

export type Announcer = ReturnType<typeof createAnnouncer>

export type AliveOptions = Omit<Tools, 'metrics'> & {
  readonly relayId: string
  /** The ids of the sources. The first source provides the number. */
  readonly sourceIds: readonly string[]
  readonly lists: readonly string[]
  readonly startedMs: number
  /** How often (ms) the relay sends the liveness message. The alarm waits for five minutes. */
  readonly everyMs: number
  readonly isReady: () => Promise<boolean>
  /** Returns a number that nothing else of the first source has. @throws what Redis answers */
  readonly nextNumber: () => Promise<number>
  /** Puts a notification in a lane of its route. */
  readonly push: (item: Item) => void
}

/** How soon (ms) `reportAlive` checks again while the relay is not ready. */
const RETRY_ALIVE_MS = 1_000

/**
 * Sends the liveness message while the relay is ready. It takes the same path as notifications, so a failure that stops those also stops the liveness
 * message. It is not journalled, because a late one is useless. The next one waits until the last one was accepted.
 */
export async function reportAlive(options: AliveOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const isReported = (await options.isReady()) && !signal.aborted && (await report(options, signal))
    await sleep(isReported ? options.everyMs : RETRY_ALIVE_MS, signal)
  }
}

/** Resolves when the message was accepted or the relay ends; with false when Redis gave no number. */
async function report(options: AliveOptions, signal: AbortSignal): Promise<boolean> {
  const { relayId, sourceIds, lists, startedMs, nextNumber, push, log, now } = options
  const number = await nextNumber().catch(() => undefined)
  if (number === undefined || signal.aborted) return false
  const payload = {
    relay: relayId,
    sources: [...sourceIds],
    lists: [...lists],
    started: new Date(startedMs).toISOString(),
  }
  const origin = { sourceId: sourceIds[0] ?? '', number, index: ownIndexOf(relayId), timeMs: now() }
  const stamped = stampNotice(formatNotice({ subType: 'alive', payload }), origin)
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = () => resolve()
  signal.addEventListener('abort', end)
  try {
    const park = async (_item: Item, reason: string, detail: string): Promise<void> => {
      log.warn({ code: 'relay.alive.rejected', reason, detail }, 'The target rejected the liveness message')
      resolve()
    }
    push(toItem(stamped, { settle: end, park }, 0))
    await promise
    return true
  } finally {
    // Otherwise each liveness message would leave a listener behind.
    signal.removeEventListener('abort', end)
  }
}
