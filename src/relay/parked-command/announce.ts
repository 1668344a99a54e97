import type { SQSClient } from '@aws-sdk/client-sqs'
import { findRoute, maskText, OTHER, RELAY_TYPE } from '../../protocol/index.ts'
import type { Keeper } from '../item.ts'
import { formatNotice, stampNotice } from '../notification/notice.ts'
import { createNumbers } from '../redis/numbers.ts'
import { toPack, type Pack } from '../sender/pack.ts'
import type { Redis } from '../redis/client.ts'
import { toItem } from '../notification/stamp.ts'
import { askRedis } from './ask-redis.ts'
import { toShown, type ParkedEntry } from '../parking/parked-entry.ts'
import { ParkedError } from '../parking/parked-error.ts'
import type { QueueFinder } from './queue-finder.ts'
import { REQUEST_PARCELS, sendParcels, type Parcel } from './send-parcels.ts'

export type AnnouncerOptions = {
  readonly sourceId: string
  readonly client: Redis
  readonly sqs: SQSClient
  readonly queues: QueueFinder
  readonly now: () => number
}

export const PARKED_ROUTE = findRoute(RELAY_TYPE, 'parked') ?? OTHER

const NOBODY: Keeper = { settle: () => undefined, park: () => Promise.resolve() }

/**
 * Says in the cloud what became of parked notifications. It is said before the entry leaves the list, so that a crash in between
 * says it once more and never leaves one shown there for ever.
 */
export function createAnnouncer({ sourceId, client, sqs, queues, now }: AnnouncerOptions) {
  const numbers = createNumbers({ client, now })

  const toParcel = (entry: ParkedEntry, state: 'retried' | 'dropped', number: number, index: number): Parcel => {
    const packet = formatNotice({ subType: 'parked', payload: { ...toShown(entry, sourceId), state } })
    const item = toItem(stampNotice(packet, { sourceId, number, index, timeMs: now() }), NOBODY, index)
    return { group: String(item.lane), pack: toPack([item], Number.POSITIVE_INFINITY) as Pack }
  }

  return {
    /** @throws ParkedError `relay.parked.queue_unusable` when nothing could be announced: to be found out before anything is done. */
    async check(): Promise<void> {
      const queue = await queues.find(PARKED_ROUTE)
      if (typeof queue === 'string') throw new ParkedError('relay.parked.queue_unusable', queue)
    },
    /** @throws ParkedError `relay.parked.not_announced` */
    async announce(entries: readonly ParkedEntry[], state: 'retried' | 'dropped'): Promise<void> {
      const queue = await queues.find(PARKED_ROUTE)
      for (let from = 0; from < entries.length; from += REQUEST_PARCELS) {
        const number = await askRedis(sourceId, numbers.next)
        const parcels = entries
          .slice(from, from + REQUEST_PARCELS)
          .map((entry, index) => toParcel(entry, state, number, index))
        const answers =
          typeof queue === 'string'
            ? [{ kind: 'failed' as const, why: queue }]
            : await sendParcels(sqs, queue.url, parcels)
        const failed = answers.find((answer) => answer.kind !== 'accepted')
        if (failed !== undefined)
          throw new ParkedError(
            'relay.parked.not_announced',
            `SQS did not accept the notices for ${queues.name(PARKED_ROUTE)}: ${maskText(failed.why)}; the entries stay, run the command again`,
          )
      }
    },
  }
}

export type Announcer = ReturnType<typeof createAnnouncer>
