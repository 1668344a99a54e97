import { parseDocument, parseEntries, SEPARATOR } from '../document.ts'
import { DAY_MS, QUARTER_MS } from '../terms.ts'
import type { HourCount } from '../types.ts'

/** What a campaign's CDRs of a quarter of an hour of `dialed_at` come to. As `lua/cdrs.lua` counts them. */
export type Quarter = {
  /** Its beginning, unix ms. */
  readonly startMs: number
  /** How many had an agent and a `call_time` above 0, and their times in all, s. */
  readonly answered: number
  readonly talk: number
  readonly hold: number
  /** End reason → how many. */
  readonly reasons: ReadonlyMap<string, number>
}

/** The document of a campaign, by its name in keys, and a day (UTC, counted from 1970). */
export const figuresKey = (prefix: string, name: string, day: number): string => `${prefix}figures:${name}:${day}`

/** The days (UTC, counted from 1970) from that moment until a day from now: a dialler's clock may be ahead. */
export function daysSince(fromMs: number, nowMs: number): number[] {
  const first = Math.floor(fromMs / DAY_MS)
  return Array.from({ length: Math.floor(nowMs / DAY_MS) + 2 - first }, (_, index) => first + index)
}

/** The quarters in the documents of these days. */
export function readQuarters(days: readonly number[], documents: readonly unknown[]): Quarter[] {
  return days.flatMap((day, index) =>
    [...parseDocument(documents[index])].flatMap(([field, value]) => {
      const quarter = Number(field)
      return Number.isNaN(quarter) ? [] : [toQuarter(day * DAY_MS + quarter * QUARTER_MS, value)]
    }),
  )
}

function toQuarter(startMs: number, value: string): Quarter {
  const [answered, talk, hold, reasons] = value.split(SEPARATOR)
  const texts = parseEntries(reasons)
  return {
    startMs,
    answered: Number(answered),
    talk: Number(talk),
    hold: Number(hold),
    reasons: new Map(
      texts.flatMap((text, at) => (at % 2 === 0 ? [[text, Number(texts[at + 1])] as [string, number]] : [])),
    ),
  }
}

/** How many CDRs there were of each end reason in each hour from that of `sinceMs` on. */
export function toHourCounts(quarters: readonly Quarter[], sinceMs: number): HourCount[] {
  const counts = new Map<string, HourCount>()
  const first = toHour(sinceMs)
  for (const { startMs, reasons } of quarters) {
    const hour = toHour(startMs)
    if (hour < first) continue
    for (const [reason, count] of reasons) {
      const key = `${hour}|${reason}`
      counts.set(key, { hour, end_reason: reason, count: count + (counts.get(key)?.count ?? 0) })
    }
  }
  return [...counts.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, count]) => count)
}

const toHour = (ms: number): string => `${new Date(ms).toISOString().slice(0, 13)}:00:00Z`
