import type { Stats, StatsPoint } from '../types.ts'
import { SEPARATOR, toMap, toTexts, type ReadOptions } from './replies.ts'

/** Asks for the latest values of each series; `readStats` takes the reply. */
export const statsCommand = (prefix: string, of: 'agent' | 'campaign', name: string): string[] => [
  'HGETALL',
  `${prefix}${of}_stats:${name}`,
]

/** The stats of each source and campaign, with their series: one round trip more where there are any. */
export async function readStats(
  { upstash, prefix }: ReadOptions,
  of: 'agent' | 'campaign',
  name: string,
  reply: unknown,
): Promise<Stats[]> {
  const latest = [...toMap(reply)]
  const series = await upstash.readAll(
    latest.map(([own]) => ['LRANGE', `${prefix}${of}_series:${name}|${own}`, '0', '-1']),
  )
  return latest
    .map(([, value], index): Stats => {
      const [, at = '', resets, source = '', campaign = '', , values = '{}'] = value.split(SEPARATOR)
      return {
        source,
        campaign_ref: campaign === '' ? null : campaign,
        at,
        values: JSON.parse(values) as Record<string, number>,
        resets: Number(resets),
        series: toTexts(series[index]).map(toPoint),
      }
    })
    .toSorted((a, b) => (`${a.campaign_ref ?? ''} ${a.source}` < `${b.campaign_ref ?? ''} ${b.source}` ? -1 : 1))
}

function toPoint(text: string): StatsPoint {
  const [at = '', reset, values = '{}'] = text.split(SEPARATOR)
  return { at, values: JSON.parse(values) as Record<string, number>, reset: reset === '1' }
}
