import { textOf, tooLarge } from '../../protocol/index.ts'
import type { Logger } from '../../runtime/index.ts'
import type { Item } from '../item.ts'
import { maskDetail } from '../parking/parked-entry.ts'
import type { Limits, Rejection, Target } from '../targets/target.ts'
import { takeWaiting, type Lane } from './lane.ts'
import type { Flight, Lanes } from './lanes.ts'
import { toGzippedPack, toPack, type Pack } from './pack.ts'

export type RefusalsOptions = {
  /** Its name, for the log. */
  readonly route: string
  readonly log: Logger
  readonly target: Target
  readonly lanes: Lanes
  /** Looks at the target's limits again; undefined when the relay ends first. */
  readonly find: () => Promise<Limits | undefined>
  /** Parks a notification; resolves when it is parked. */
  readonly park: (item: Item, reason: string, detail: string) => Promise<void>
}

/** What becomes of notifications that the target will never accept as they are. Their lane stays busy meanwhile, so it keeps its order. */
export function createRefusals({ route, log, target, lanes, find, park }: RefusalsOptions) {
  /** One alone: where it was only too large, it may be accepted gzipped. */
  const parkUnlessSmaller = async (lane: Lane, pack: Pack, item: Item, rejection: Rejection): Promise<void> => {
    const { isForSize, reason, detail } = rejection
    const smaller = isForSize && pack.gzipped === undefined ? await toGzippedPack([item], pack.bytes - 1) : undefined
    if (smaller !== undefined) return void lane.frozen.unshift(smaller)
    const words = detail.startsWith(`${reason}:`) ? detail : `${reason}: ${detail}`
    await park(item, isForSize ? 'too_large' : 'refused', maskDetail(words, textOf(item)))
  }

  return {
    /** A refused pack: its halves go next, in order, until the notification that caused it is alone and parked. */
    async bisect({ lane, pack }: Flight, rejection: Rejection): Promise<void> {
      const { items } = pack
      const [first] = items
      if (items.length === 1 && first !== undefined) await parkUnlessSmaller(lane, pack, first, rejection)
      else {
        const middle = Math.ceil(items.length / 2)
        const halves = [items.slice(0, middle), items.slice(middle)]
        lane.frozen.unshift(...halves.map((half) => toPack(half, Number.POSITIVE_INFINITY) as Pack))
      }
      lanes.next(lane)
    },
    /** A request of this size was refused for it, though its packs were within the limits: else every full request would be refused first. */
    shrinkRequests(limits: Limits, refusedBytes: number): Limits {
      const requestBytes = Math.floor(refusedBytes / 2)
      const { maxBytes } = limits
      if (requestBytes >= (limits.requestBytes ?? maxBytes)) return limits
      log.warn(
        { code: 'relay.sqs.smaller_requests', route, queue: target.name, maxBytes, requestBytes },
        'SQS, or a proxy before it, accepts smaller requests than the limit of the queue allows; the relay sends smaller requests',
      )
      return { ...limits, requestBytes }
    },
    /** The next notification of a lane is larger than a message may be: it goes gzipped, or is parked. */
    async compress(lane: Lane, maxBytes: number): Promise<void> {
      const items = takeWaiting(lane, 1)
      let pack = await toGzippedPack(items, maxBytes)
      let most = maxBytes
      if (pack === undefined) {
        // The limit may have been raised since it was looked at. When the relay ends first, the next start sees to it.
        const limits = await find()
        if (limits === undefined) return
        most = limits.maxBytes
        if (most > maxBytes) pack = await toGzippedPack(items, most)
      }
      if (pack !== undefined) lane.frozen.push(pack)
      else await park(items[0] as Item, 'too_large', tooLarge(most, target.name))
      lanes.next(lane)
    },
  }
}
