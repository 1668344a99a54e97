import type { Stats, StatsPoint } from '../types.ts'
import { SEPARATOR, toMap, toTexts } from './replies.ts'

/** Two reads whose replies `toStats` takes. */
export const statsCommands = (prefix: string, of: 'agent' | 'campaign', ref: string): string[][] => [
  ['HGETALL', `${prefix}${of}_stats:${ref}`],
  ['ZRANGE', `${prefix}${of}_series:${ref}`, '0', '-1'],
]

export function toStats([hash, series]: unknown[]): Stats | null {
  const fields = toMap(hash)
  const values = fields.get('values')
  if (values === undefined) return null
  return {
    at: fields.get('at') ?? '',
    values: JSON.parse(values) as Record<string, number>,
    resets: Number(fields.get('resets') ?? 0),
    series: toTexts(series).map(toPoint),
  }
}

function toPoint(text: string): StatsPoint {
  const [, at = '', reset, values = '{}'] = text.split(SEPARATOR)
  return { at, values: JSON.parse(values) as Record<string, number>, reset: reset === '1' }
}
