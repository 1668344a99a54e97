import { MAX_COMMAND_IDS, type RelayCommand } from '../protocol/index.ts'
import type { OfRelay, ParkedQuery, Reads } from '../store/index.ts'
import type { Caller } from './auth.ts'
import { problem } from './errors.ts'
import type { OperateOptions } from './operate.ts'

/**
 * Entries of the relay are on the parked list in the Redis of a dialler, where no function comes: the relay is asked by a command to send
 * them again or to drop them, and says by its notices what it did.
 */

/** The entries of the relay among these, or among those that a filter means. @throws the answer 400 where there are too many */
export async function findOfRelay(
  read: Reads,
  ids: readonly string[] | undefined,
  filter: ParkedQuery | null,
): Promise<readonly OfRelay[]> {
  const { entries, complete } = await read.ofRelay(ids === undefined ? { filter: filter ?? {} } : { ids })
  if (complete) return entries
  throw problem(
    'bad-parameter',
    'More than 20,000 entries are parked. Narrow the filter with since and until. Nothing was sent.',
    { parameter: 'filter' },
  )
}

/** The answer where relays take no commands, since there is no queue for them. */
const noCommands = () =>
  problem(
    'unavailable',
    'The relay parked some of these entries, and accepts no commands without SQS: run enigma-relay parked --retry or --drop on its host. Nothing was sent.',
  )

/** Whether relays can be asked to do something about these entries. @throws the answer 503 where they cannot */
export function requireCommands(sendCommand: OperateOptions['sendCommand'], entries: readonly OfRelay[]): void {
  if (entries.length > 0 && sendCommand === undefined) throw noCommands()
}

/** Sends commands about these entries, oldest first: one for each source and thousand. @throws the answer 503 when SQS does not accept one */
export async function askRelay(
  sendCommand: OperateOptions['sendCommand'],
  action: RelayCommand['action'],
  entries: readonly OfRelay[],
  { name: operator }: Caller,
): Promise<void> {
  requireCommands(sendCommand, entries)
  for (const [source, own] of Map.groupBy(entries, (entry) => entry.source)) {
    const ids = own.map(({ id }) => id)
    try {
      for (let from = 0; from < ids.length; from += MAX_COMMAND_IDS)
        await sendCommand?.({ action, source, ids: ids.slice(from, from + MAX_COMMAND_IDS), operator })
    } catch {
      throw problem(
        'unavailable',
        'SQS did not accept commands for the relay. Their queue may be missing: deploy the stack. Some commands may have been sent; it is safe to try again.',
      )
    }
  }
}
