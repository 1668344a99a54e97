import { referenceOf } from './values.ts'
import { isObject } from './json.ts'

/**
 * What keeps its order: the channel's reference; for list items, which have none, the payload's `call_ref`, else its `ref`;
 * else the empty text, so that what names nothing stays in one order too.
 */
export function orderKey(reference: string | undefined, payload: unknown): string {
  if (reference !== undefined && reference !== '') return reference
  if (!isObject(payload)) return ''
  return referenceOf(payload['call_ref']) ?? referenceOf(payload['ref']) ?? ''
}

/** The lane of an order key: FNV-1a over its UTF-16 units, modulo the number of lanes. The SQS message group is its decimal text. */
export function laneOf(key: string, lanes: number): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) {
    hash ^= key.charCodeAt(at)
    hash = Math.imul(hash, 0x01000193)
  }
  return (hash >>> 0) % lanes
}
