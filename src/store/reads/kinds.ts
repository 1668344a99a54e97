import { parseEntries, SEPARATOR } from '../document.ts'
import { toName } from '../names.ts'
import type { Kind, KindValue } from '../types.ts'
import { isNewer } from './current-call.ts'
import { gapsKey, toGapMarks } from './gap-marks.ts'
import { afterSeparator, type ReadOptions } from './replies.ts'

/** The latest values of a reference of any kind; null when there is none. */
export async function readKind(
  { upstash, prefix }: ReadOptions,
  type: string,
  subType: string,
  ref: string,
): Promise<Kind | null> {
  const [kind, name] = await Promise.all([toName(`${type}/${subType}`), toName(ref)])
  const [reply] = await upstash.readAll([['MGET', gapsKey(prefix), `${prefix}kind:${kind}:${name}`]])
  const [gaps, list] = reply as unknown[]
  const values = parseEntries(list)
    .map((entry) => {
      const [, , stamp = '', stale] = entry.split(SEPARATOR, 4)
      const value = JSON.parse(afterSeparator(entry)) as Omit<KindValue, 'stale'>
      return { stamp, value: { ...value, stale: stale === '1' } }
    })
    .toSorted((one, other) => (isNewer(one.stamp, other.stamp) ? -1 : 1))
  const [latest, ...before] = values
  if (latest === undefined) return null
  return {
    ref,
    unsure: toGapMarks(gaps).coverState(latest.stamp, `${type}-${subType}`),
    latest: latest.value,
    history: before.map(({ value }) => value),
  }
}
