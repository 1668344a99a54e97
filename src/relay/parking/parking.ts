import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { isTooLarge, maskText, RELAY_TYPE, type RelayParked } from '../../protocol/index.ts'
import { backoffMs, sleep } from '../../runtime/index.ts'
import { describe } from '../relay-error.ts'
import type { Item } from '../item.ts'
import type { Notice } from '../notice.ts'
import { NONE_KEY, PARKED_FILES_KEY, type Numbers } from '../redis/relay-keys.ts'
import type { SourceTools } from '../source.ts'
import { createOverflow } from './overflow.ts'
import { formatParked, knownType } from './parked-entry.ts'

export type ParkingOptions = SourceTools & {
  readonly numbers: Numbers
  /** Announces a parked notification. Resolves when the notice is in the journal. */
  readonly announce: (notice: Notice, number: number) => Promise<void>
  readonly relayId: string
  /** The maximum number of entries on the list; further ones go to `file`. */
  readonly most: number
  readonly file: string
  /** Aborts when the relay stops: unparked notifications are then left to the next start. */
  readonly signal: AbortSignal
}

/** Where to record, in the same step, that an item of a claim is settled. */
type SettledAt = { readonly settled: string; readonly registry: string; readonly claim: number; readonly index: number }

/**
 * Parks notifications that cannot be sent: on the parked list of the source, or in a file once the list is full. The notice comes first: a crash in
 * between parks the notification again, with the same id, but never without a notice.
 */
export function createParking(options: ParkingOptions) {
  const { sourceId, client, numbers, log, now, announce, relayId, most, file, metrics, signal } = options
  const overflow = createOverflow(file)
  let isFull = false
  /** Whether a file may exist, or Redis may say so: an earlier process may have left it. */
  let isNoted = true

  const parkInFile = async (entry: string): Promise<void> => {
    await overflow.append(entry)
    if (!isFull)
      log.warn(
        { code: 'relay.parking.list_full', source: sourceId, entries: most, file },
        'The parked list is full; the relay writes further parked notifications to a file, which "enigma-relay parked" shows as well',
      )
    isFull = true
    isNoted = true
    void measure()
  }

  /** Counts the entries of the file, because another process may have taken some out. */
  const measure = async (): Promise<void> => {
    // Only this relay adds entries to its file.
    if (!isNoted) return
    try {
      const entries = await overflow.count()
      metrics.parkedFile.set({ source: sourceId }, entries)
      isFull &&= entries > 0
      // Recorded so that `enigma-relay parked` on another machine can tell where the file is.
      if (entries > 0) await client.hSet(PARKED_FILES_KEY, relayId, `${hostname()}:${resolve(file)}`)
      else await client.hDel(PARKED_FILES_KEY, relayId)
      isNoted = entries > 0
    } catch (error) {
      log.debug(
        { code: 'relay.parking.not_counted', source: sourceId, error: describe(error) },
        'The relay cannot count the entries in the file of parked notifications, or record its place in Redis',
      )
    }
  }

  return {
    measure,
    /** Resolves with true when the notification is parked, with false when the signal aborted first. */
    async park(item: Item, reason: string, detail: string, at?: SettledAt): Promise<boolean> {
      const parkedMs = now()
      const entry = formatParked(item, reason, detail, parkedMs)
      const payload: RelayParked = {
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
        type: knownType(/"type":"([^"\\]*)"/.exec(item.head)?.[1] ?? ''),
      }
      // The target that rejects a notice would also reject a notice about that notice, without end.
      let announced = item.route.type === RELAY_TYPE
      let isInFile = false
      for (let failures = 1; !signal.aborted; failures++) {
        try {
          if (!announced) {
            const number = await numbers.next()
            // The journal is closed now and takes no more notices.
            if (signal.aborted) break
            await announce({ subType: 'parked', payload }, number)
            announced = true
            // Closing the journal also ends this wait, whether the notice was written or not.
            if (signal.aborted) break
          }
          if (!isInFile) {
            const call = { settled: NONE_KEY, registry: NONE_KEY, index: '', claim: '', ...at, entry, most }
            if ((await client.park(call)) > 0) return true
            await parkInFile(entry)
            isInFile = true
          }
          // A crash before this parks the notification again, with the same id.
          if (at !== undefined) await client.noteSettled(at)
          return true
        } catch (error) {
          if (failures === 1)
            log.warn(
              { code: 'relay.parking.failed', id: item.id, reason, error: describe(error) },
              'The relay could not park a notification; it retries',
            )
          await sleep(backoffMs(failures), signal)
        }
      }
      return false
    },
  }
}

export type Parking = ReturnType<typeof createParking>
