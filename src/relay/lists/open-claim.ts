/** A claim that this process knows and has not deleted yet. */
export type OpenClaim = {
  readonly number: number
  readonly list: string
  readonly takenMs: number
  /** -1 when unknown. */
  readonly waitMs: number
  /** Index → item, in order: those that are not settled. What is settled is forgotten at once. */
  readonly items: Map<number, Buffer>
  /** How many of its items Redis has at most: what is sent again after a crash. */
  held: number
  /** When (ms) it was taken, adopted or compacted. */
  writtenMs: number
}

export const isUnsettled = ({ items }: OpenClaim): boolean => items.size > 0

/** What the registry says of a claim; the scripts write the same. */
type ClaimMeta = {
  readonly takenMs: number
  readonly waitMs: number
  readonly list: string
  /** Which of its items the claim holds; undefined for all of them. */
  readonly indexes?: readonly number[]
}

/** `<taken ms>:<wait ms>@<indexes>:<list>`. A relay of a version that does not know `@` leaves such a claim alone. */
export const formatMeta = ({ takenMs, waitMs, list, indexes }: ClaimMeta): string =>
  `${takenMs}:${waitMs}${indexes === undefined ? '' : `@${indexes.join(',')}`}:${list}`

/** Reads what the registry says of a claim; undefined for what is none. */
export function parseMeta(meta: string): ClaimMeta | undefined {
  const match = /^(\d+):(-?\d+)(?:@([\d,]+))?:(.*)$/s.exec(meta)
  if (match === null) return undefined
  const [, taken, wait, indexes, list = ''] = match
  return {
    takenMs: Number(taken),
    waitMs: Number(wait),
    list,
    ...(indexes === undefined ? {} : { indexes: indexes.split(',').map(Number) }),
  }
}
