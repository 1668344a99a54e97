import { isObject, readPacket } from '../../protocol/index.ts'
import { asBytes, type Redis } from '../redis/client.ts'

/** So many items at each end are looked at: one alone may be out of its order, for what was dialled first may end last. */
const LOOK = 5

/** Which end of a list has the oldest items, by their `dialed_at`; undefined when that cannot be told. Takes nothing. */
export async function findOldestEnd(
  client: Redis,
  list: string,
  length: number,
): Promise<'left' | 'right' | undefined> {
  const count = Math.min(LOOK, Math.floor(length / 2))
  if (count === 0) return undefined
  const [left, right] = await Promise.all([
    asBytes(client).lRange(list, 0, count - 1),
    asBytes(client).lRange(list, -count, -1),
  ])
  const [dialledLeft, dialledRight] = [middleOf(left.flatMap(dialledAt)), middleOf(right.flatMap(dialledAt))]
  if (dialledLeft === undefined || dialledRight === undefined || dialledLeft === dialledRight) return undefined
  return dialledLeft < dialledRight ? 'left' : 'right'
}

/** Unix s; none when the item does not say it. */
function dialledAt(item: Buffer): number[] {
  const payload = readPacket(item).packet?.payload
  const at = isObject(payload) ? Number(payload['dialed_at']) : Number.NaN
  return Number.isFinite(at) && at > 0 ? [at] : []
}

const middleOf = (numbers: readonly number[]): number | undefined =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]
