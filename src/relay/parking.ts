import { isTooLarge, maskText, parseEventType, type RelayParked } from '../protocol/index.ts'
import { backoffMs, sleep, type Logger } from '../runtime/index.ts'
import { describe } from './errors.ts'
import type { Item } from './item.ts'
import { NONE_KEY, NUMBER_KEY, PARKED_KEY } from './keys.ts'
import type { Notice } from './notice.ts'
import type { Numbers } from './numbers.ts'
import { formatParked } from './parked.ts'
import type { Redis } from './redis.ts'

export type ParkingOptions = {
  readonly sourceId: string
  readonly client: Redis
  readonly numbers: Numbers
  readonly log: Logger
  readonly now: () => number
  /** Says in the cloud what is parked. Resolves when that is in the journal. */
  readonly announce: (notice: Notice, number: number) => Promise<void>
  readonly relayId: string
  /** Aborts when what is left is to be left. */
  readonly signal: AbortSignal
}

/** Where it is noted, in the same step, that an item of a claim is settled. */
export type SettledAt = {
  readonly settledKey: string
  readonly registryKey: string
  readonly claim: number
  readonly index: number
}

/**
 * Puts aside what cannot be sent at all: into the parked list of the source. Announced first, then parked: a crash in between
 * parks it once more, with the same id, but never in silence.
 */
export function createParking({ sourceId, client, numbers, log, now, announce, relayId, signal }: ParkingOptions) {
  return {
    /** Resolves with true when it is aside, with false when the signal aborted first. */
    async park(item: Item, reason: string, detail: string, at?: SettledAt): Promise<boolean> {
      const parkedMs = now()
      const entry = formatParked(item, reason, detail, parkedMs)
      let announced = false
      for (let failures = 1; !signal.aborted; failures++) {
        try {
          if (!announced) {
            const number = await client.beat([NUMBER_KEY], [numbers.least(), ''])
            numbers.seen(number)
            await announce({ subType: 'parked', payload: toNotice(item, reason, detail, parkedMs) }, number)
            announced = true
          }
          await client.park(
            [PARKED_KEY, at?.settledKey ?? NONE_KEY, at?.registryKey ?? NONE_KEY],
            [entry, at?.index ?? '', at?.claim ?? ''],
          )
          return true
        } catch (error) {
          if (failures === 1)
            log.warn(
              { code: 'relay.parking.failed', id: item.id, reason, error: describe(error) },
              'cannot park a notification yet: the relay retries',
            )
          await sleep(backoffMs(failures), signal)
        }
      }
      return false
    },
  }

  function toNotice(item: Item, reason: string, detail: string, parkedMs: number): RelayParked {
    return {
      source: sourceId,
      relay: relayId,
      id: item.id,
      state: 'parked',
      route: item.route.name,
      reason,
      detail: isTooLarge(detail) ? detail : maskText(detail),
      received: new Date(item.receivedMs).toISOString(),
      parkedat: new Date(parkedMs).toISOString(),
      bytes: item.bytes,
      type: typeOf(item.event),
    }
  }
}

export type Parking = ReturnType<typeof createParking>

/** The event's type, out of its text. */
function typeOf(event: string): string {
  const type = /"type":"([^"\\]*)"/.exec(event)?.[1] ?? ''
  return parseEventType(type) === undefined ? 'enigma.unknown.unknown' : type
}
