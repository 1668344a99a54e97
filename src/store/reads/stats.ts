import { parseDocument, SEPARATOR } from '../document.ts'
import type { Stats, StatsPoint } from '../types.ts'
import { toTexts, type ReadOptions } from './replies.ts'

/** As many points as a series has at most; the list of them may be twice as long before it is cut. */
const MAX_POINTS = 120

/** The document of the latest values of each series. */
export const statsKey = (prefix: string, of: 'agent' | 'campaign', name: string): string =>
  `${prefix}${of}_stats:${name}`

/** The stats of each source and campaign, with their series: one request more where there are any. @param text of the document under `statsKey` */
export async function readStats(
  { upstash, prefix }: ReadOptions,
  of: 'agent' | 'campaign',
  name: string,
  text: unknown,
): Promise<Stats[]> {
  const latest = [...parseDocument(text)].flatMap(([field, value]) =>
    field.startsWith('s:') ? [[field.slice(2), value] as const] : [],
  )
  const series = await upstash.readAll(
    latest.map(([own]) => ['LRANGE', `${prefix}${of}_series:${name}|${own}`, String(-MAX_POINTS), '-1']),
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
