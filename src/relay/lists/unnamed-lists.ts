import { BASE_KEY } from '../../protocol/index.ts'
import { sleep, type Logger } from '../../runtime/index.ts'
import type { Redis } from '../redis/client.ts'

/** The keys that diallers are known to use as lists. */
export const KNOWN_LISTS = ['', ':campaigns', ':campaign', ':cdr', ':inbound', ':agents', ':agent', ':dialers'].map(
  (end) => BASE_KEY + end,
)

/** Says once, with its length, which list is there and not named in ENIGMA_LISTS: its items stay where they are. */
export async function sayUnnamedLists(
  client: Redis,
  sourceId: string,
  named: readonly string[],
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const unsaid = new Set(KNOWN_LISTS.filter((list) => !named.includes(list)))
  while (!signal.aborted && unsaid.size > 0) {
    try {
      for (const list of unsaid) {
        if ((await client.type(list)) !== 'list') continue
        unsaid.delete(list)
        log.warn(
          { code: 'relay.list.unnamed', source: sourceId, list, items: await client.lLen(list) },
          'This list exists in Redis, but ENIGMA_LISTS does not name it, so the relay does not consume it; add it to ENIGMA_LISTS if this relay should consume it',
        )
      }
    } catch {
      // Redis is away, which is said elsewhere.
    }
    await sleep(60_000, signal)
  }
}
