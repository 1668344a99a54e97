import type { Agent, Figures, Wall, WallAgent, WallCampaign } from '../../answers/index.ts'
import { HOUR_MS, msOf, QUARTER_MS } from '../document.ts'
import { toAgent } from './agent-reads.ts'
import { toCampaign } from './campaign-reads.ts'
import {
  type AbandonRule,
  dayOf,
  daysSince,
  figuresKey,
  type Quarter,
  readQuarters,
  type Span,
  toFigures,
} from './figures.ts'
import { type GapMarks, GAPS, toGapMarks } from './latest-reads.ts'
import { countBy, type ReadOptions } from './list-pages.ts'
import { createWallDocuments, type CachedDocument, type Names } from './wall-documents.ts'

/** An agent on the wall. `untilMs` (Unix ms) is when its call stops being shown, if its document does not change before. */
type Shown = { readonly agent: Agent; readonly row: WallAgent; readonly untilMs: number }

/** The name of no campaign: CDRs without a campaign count only in the totals. */
const NO_CAMPAIGN = ''

/** Creates the read of the whole call centre. A result that is derived from one document is cached until the document changes. */
export function createWall(options: ReadOptions) {
  const { timeZone } = options
  const spansOf = (nowMs: number) => {
    const today = dayOf(timeZone, nowMs)
    const lastHour = { fromMs: Math.floor((nowMs - HOUR_MS) / QUARTER_MS) * QUARTER_MS, toMs: Infinity }
    return { today, lastHour, days: daysSince(Math.min(today.fromMs, lastHour.fromMs), nowMs) }
  }
  const wantedOf = ({ agents, campaigns }: Names, nowMs: number): string[] => {
    const { days } = spansOf(nowMs)
    const figuresOf = (name: string) => days.map((day) => figuresKey('', name, day))
    return [
      GAPS,
      ...figuresOf(NO_CAMPAIGN),
      ...campaigns.flatMap(({ name }) => [`campaign:${name}`, ...figuresOf(name)]),
      ...agents.map(({ name }) => `agent:${name}`),
    ]
  }
  const read = createWallDocuments(options, wantedOf)

  let shownGaps: CachedDocument | undefined
  let marks: GapMarks = toGapMarks(null)
  let shown = new WeakMap<CachedDocument, Shown>()
  const quarters = new WeakMap<CachedDocument, Quarter[]>()
  const show = (ref: string, document: CachedDocument, nowMs: number): Shown => {
    const before = shown.get(document)
    if (before !== undefined && nowMs <= before.untilMs) return before
    const agent = toAgent(options, ref, document.fields, marks)
    const untilMs =
      agent.call === null ? Infinity : msOf(document.fields.get('call_stamp') ?? '') + options.callLimitSeconds * 1_000
    const now = { agent, row: toRow(agent), untilMs }
    shown.set(document, now)
    return now
  }
  const quartersOf = (day: number, document: CachedDocument): Quarter[] => {
    const own = quarters.get(document) ?? readQuarters([day], [document.text])
    quarters.set(document, own)
    return own
  }

  return async (rule: AbandonRule): Promise<Wall> => {
    const { atMs, names, documentOf } = await read()
    const { today, lastHour, days } = spansOf(atMs)
    const gaps = documentOf(GAPS)
    if (gaps !== shownGaps) [shownGaps, marks, shown] = [gaps, toGapMarks(gaps.text), new WeakMap()]
    const all = names.agents.map(({ ref, name }) => show(ref, documentOf(`agent:${name}`), atMs))
    const rows = all.map(({ row }) => row)
    const quartersIn = (name: string) => days.flatMap((day) => quartersOf(day, documentOf(figuresKey('', name, day))))
    const figuresOf = (own: readonly Quarter[]): { today: Figures; last_hour: Figures } => {
      const of = (span: Span) => toFigures(own, span, rule)
      return { today: of(today), last_hour: of(lastHour) }
    }
    const statesOf = Map.groupBy(
      all.flatMap(({ agent }) => agent.states),
      (state) => state.campaign_ref,
    )
    const callsOf = Map.groupBy(
      all.flatMap(({ agent: { call }, row }) => (call === null ? [] : (call.campaign_ref ?? row.campaign))),
      (campaign) => campaign,
    )
    const ofAll = quartersIn(NO_CAMPAIGN)
    const campaigns = names.campaigns.map(({ ref, name }): WallCampaign => {
      const { status, since, unsure } = toCampaign('campaign', ref, documentOf(`campaign:${name}`).fields, marks)
      const own = quartersIn(name)
      ofAll.push(...own)
      return {
        ref,
        status,
        since,
        ...(unsure ? { unsure } : {}),
        agents: countBy((statesOf.get(ref) ?? []).map((state) => state.status)),
        calls: callsOf.get(ref)?.length ?? 0,
        ...figuresOf(own),
      }
    })
    return {
      at: new Date(atMs).toISOString(),
      totals: {
        campaigns: countBy(campaigns.map(({ status }) => status ?? 'unknown')),
        agents: countBy(rows.map(({ status }) => status ?? 'unknown')),
        calls: rows.filter(({ call }) => call !== undefined).length,
        unsure: rows.filter(({ unsure, call }) => unsure ?? call?.unsure).length,
        ...figuresOf(ofAll),
      },
      abandon_rate: { formula: formulaOf(rule), threshold: rule.threshold, approximate: true },
      campaigns,
      agents: rows,
    }
  }
}

/** Returns an agent's row. An agent has a state in each campaign; the row shows the latest state that is not offline. */
function toRow({ ref, states, call, call_unsure: isCallUnsure }: Agent): WallAgent {
  const latest = states.toSorted(
    (a, b) => Number(a.status === 'offline') - Number(b.status === 'offline') || (a.since < b.since ? 1 : -1),
  )[0]
  return {
    ref,
    status: latest?.status ?? null,
    since: latest === undefined ? null : toSecond(latest.since),
    campaign: latest?.campaign_ref ?? null,
    ...(latest?.unsure === true ? { unsure: true } : {}),
    ...(call === null
      ? {}
      : {
          call: {
            ref: call.call_ref,
            since: toSecond(call.received_at),
            ...(call.direction === 'inbound' ? { inbound: true } : {}),
            ...(isCallUnsure ? { unsure: true } : {}),
          },
        }),
  }
}

const formulaOf = ({ reasons, of }: AbandonRule): string =>
  `abandoned / ${of === 'answered' ? '(answered + abandoned)' : 'CDRs'}; abandoned: CDRs without an extension that ended with ${reasons.join(' or ')}`

/** An answer contains thousands of these, so the milliseconds are left out. */
const toSecond = (time: string): string => time.replace(/\.\d+Z$/, 'Z')
