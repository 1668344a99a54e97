import type { Figures, HourCount, Today } from '../../answers/index.ts'
import { DAY_MS, parseDocument, parseEntries, QUARTER_MS, SEPARATOR } from '../document.ts'

/** The rule by which calls count as abandoned. */
export type AbandonRule = {
  /** The end reasons that count, in CDRs without an extension. */
  readonly reasons: readonly string[]
  /** The denominator of the rate. `answered`: abandoned and answered calls. `cdrs`: all CDRs. */
  readonly of: 'answered' | 'cdrs'
  /** The highest acceptable rate, such as 0.03. */
  readonly threshold: number
}

/** Counts and sums of a campaign's CDRs in one quarter of an hour of `dialed_at`. `lua/cdrs.lua` writes them. */
export type Quarter = {
  /** The beginning of the quarter, Unix ms. */
  readonly startMs: number
  /** The number of CDRs with an agent and a `call_time` above 0, and the sums of their times in seconds. */
  readonly answered: number
  readonly talk: number
  readonly hold: number
  /** The number of CDRs by end reason. */
  readonly reasons: ReadonlyMap<string, number>
  /** The number of CDRs without an agent by end reason. */
  readonly withoutAgent: ReadonlyMap<string, number>
}

/** Returns the key of the document of a campaign (by its name in keys) and a day (UTC, counted from 1970). */
export const figuresKey = (prefix: string, name: string, day: number): string => `${prefix}figures:${name}:${day}`

/** Returns the days (UTC, counted from 1970) from a moment until tomorrow, since a dialler's clock may be ahead. */
export function daysSince(fromMs: number, nowMs: number): number[] {
  const first = Math.floor(fromMs / DAY_MS)
  return Array.from({ length: Math.floor(nowMs / DAY_MS) + 2 - first }, (_, index) => first + index)
}

/** Reads the quarters in the documents of these days. */
export function readQuarters(days: readonly number[], documents: readonly unknown[]): Quarter[] {
  return days.flatMap((day, index) =>
    [...parseDocument(documents[index])].flatMap(([field, value]) => {
      const quarter = Number(field)
      return Number.isNaN(quarter) ? [] : [toQuarter(day * DAY_MS + quarter * QUARTER_MS, value)]
    }),
  )
}

function toQuarter(startMs: number, value: string): Quarter {
  const [answered, talk, hold, reasons, withoutAgent] = value.split(SEPARATOR)
  return {
    startMs,
    answered: Number(answered),
    talk: Number(talk),
    hold: Number(hold),
    reasons: toCounts(reasons),
    withoutAgent: toCounts(withoutAgent),
  }
}

function toCounts(list: string | undefined): Map<string, number> {
  const texts = parseEntries(list)
  return new Map(texts.flatMap((text, at) => (at % 2 === 0 ? [[text, Number(texts[at + 1])] as const] : [])))
}

/** Counts the CDRs of each hour by end reason, from the hour of `sinceMs` on. */
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

/** A time span in Unix ms; `toMs` is exclusive. */
export type Span = { readonly fromMs: number; readonly toMs: number }

/** Returns the current day in a time zone. @param timeZone from the IANA database. @throws RangeError for an unknown time zone */
export function dayOf(timeZone: string, nowMs: number): Span {
  const format = new Intl.DateTimeFormat('en', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  const localOf = (ms: number) => {
    const parts = new Map(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]))
    const [year = 0, month = 0, ...rest] = (['year', 'month', 'day', 'hour', 'minute', 'second'] as const).map(
      (type) => parts.get(type) ?? 0,
    )
    return { day: Date.UTC(year, month - 1, rest[0]), ms: Date.UTC(year, month - 1, ...rest) }
  }
  // The offset from UTC changes at a clock change, so the offset is computed again at the moment found.
  const toMoment = (local: number) => {
    const guess = local - (localOf(local).ms - local)
    return local - (localOf(guess).ms - guess)
  }
  const { day } = localOf(nowMs)
  return { fromMs: toMoment(day), toMs: toMoment(day + DAY_MS) }
}

const within = (quarters: readonly Quarter[], { fromMs, toMs }: Span): Quarter[] =>
  quarters.filter(({ startMs }) => startMs >= fromMs && startMs < toMs)

/** Sums the number of CDRs by end reason over these quarters. */
function addUp(quarters: readonly Quarter[], of: 'reasons' | 'withoutAgent'): Map<string, number> {
  const counts = new Map<string, number>()
  for (const quarter of quarters)
    for (const [reason, count] of quarter[of]) counts.set(reason, (counts.get(reason) ?? 0) + count)
  return counts
}

/** Computes counts and averages of the quarters within a span. */
export function toToday(quarters: readonly Quarter[], span: Span): Today {
  const own = within(quarters, span)
  const reasons = addUp(own, 'reasons')
  const sum = (of: 'answered' | 'talk' | 'hold') => own.reduce((total, quarter) => total + quarter[of], 0)
  const answered = sum('answered')
  const average = (of: 'talk' | 'hold') => (answered === 0 ? null : Math.round((10 * sum(of)) / answered) / 10)
  return {
    since: new Date(span.fromMs).toISOString(),
    cdrs: [...reasons.values()].reduce((total, count) => total + count, 0),
    end_reasons: Object.fromEntries([...reasons].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    answered,
    average_talk_time: average('talk'),
    average_hold_time: average('hold'),
  }
}

/** Computes the same with the abandon rate. */
export function toFigures(quarters: readonly Quarter[], span: Span, { reasons, of }: AbandonRule): Figures {
  const figures = toToday(quarters, span)
  const withoutAgent = addUp(within(quarters, span), 'withoutAgent')
  const numerator = reasons.reduce((total, reason) => total + (withoutAgent.get(reason) ?? 0), 0)
  const denominator = of === 'answered' ? figures.answered + numerator : figures.cdrs
  const rate = denominator === 0 ? null : Math.round((10_000 * numerator) / denominator) / 10_000
  return { ...figures, abandoned: { rate, numerator, denominator } }
}
