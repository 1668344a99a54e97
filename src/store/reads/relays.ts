import { parseDocument } from '../document.ts'
import type { RelayRecord } from '../operator-types.ts'
import { afterSeparator, type ReadOptions } from './replies.ts'

/** The relays that were ready within the last days, by their ids. There are few. */
export async function readRelays({ upstash, prefix }: ReadOptions): Promise<RelayRecord[]> {
  const [texts] = await upstash.readAll([['MGET', `${prefix}relays`]])
  const [text] = texts as unknown[]
  const records = [...parseDocument(text).values()].map((value) => JSON.parse(afterSeparator(value)) as RelayRecord)
  return records.toSorted((a, b) => (a.relay < b.relay ? -1 : 1))
}
