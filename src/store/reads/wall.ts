import type { Agent, Figures, Wall, WallAgent, WallCampaign } from '../../answers/index.ts'
import type { AbandonRule } from '../types.ts'
import { toAgent } from './agents.ts'
import { toCampaign } from './campaigns.ts'
import { msOf } from './current-call.ts'
import { dayOf, daysSince, figuresKey, readQuarters, toFigures, type Quarter, type Span } from './figures.ts'
import { countBy, type ReadOptions } from './replies.ts'
import { GAPS, toGapMarks, type GapMarks } from './states.ts'
import { HOUR_MS, QUARTER_MS } from '../terms.ts'
import { createWallDocuments, type Held, type Names } from './wall-documents.ts'

/** An agent as the wall shows it, and until when (unix ms) its document says so: the longest that a call is shown. */
type Shown = { readonly agent: Agent; readonly row: WallAgent; readonly untilMs: number }

/** CDRs that name no campaign count in the totals only. */
const NOBODY = ''

/** The call centre now. What follows from one document is kept for as long as the document is the same. */
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
      ...figuresOf(NOBODY),
      ...campaigns.flatMap(({ name }) => [`campaign:${name}`, ...figuresOf(name)]),
      ...agents.map(({ name }) => `agent:${name}`),
    ]
  }
  const read = createWallDocuments(options, wantedOf)

  let gapsHeld: Held | undefined
  let marks: GapMarks = toGapMarks(null)
  let shown = new WeakMap<Held, Shown>()
  const quarters = new WeakMap<Held, Quarter[]>()
  const show = (ref: string, held: Held, nowMs: number): Shown => {
    const before = shown.get(held)
    if (before !== undefined && nowMs <= before.untilMs) return before
    const agent = toAgent(options, ref, held.fields, marks)
    const untilMs =
      agent.call === null ? Infinity : msOf(held.fields.get('call_stamp') ?? '') + options.callLimitSeconds * 1_000
    const now = { agent, row: toRow(agent), untilMs }
    shown.set(held, now)
    return now
  }
  const quartersOf = (day: number, held: Held): Quarter[] => {
    const own = quarters.get(held) ?? readQuarters([day], [held.text])
    quarters.set(held, own)
    return own
  }

  return async (rule: AbandonRule): Promise<Wall> => {
    const { atMs, names, held } = await read()
    const { today, lastHour, days } = spansOf(atMs)
    const gaps = held(GAPS)
    if (gaps !== gapsHeld) [gapsHeld, marks, shown] = [gaps, toGapMarks(gaps.text), new WeakMap()]
    const all = names.agents.map(({ ref, name }) => show(ref, held(`agent:${name}`), atMs))
    const rows = all.map(({ row }) => row)
    const quartersIn = (name: string) => days.flatMap((day) => quartersOf(day, held(figuresKey('', name, day))))
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
    const ofAll = quartersIn(NOBODY)
    const campaigns = names.campaigns.map(({ ref, name }): WallCampaign => {
      const { status, since, unsure } = toCampaign('campaign', ref, held(`campaign:${name}`).fields, marks)
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

/** An agent in a line: an agent has a state in each campaign, and the latest in which it is not offline tells most. */
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
            call_ref: call.call_ref,
            since: toSecond(call.received_at),
            ...(call.direction === 'inbound' ? { inbound: true } : {}),
            ...(isCallUnsure ? { unsure: true } : {}),
          },
        }),
  }
}

const formulaOf = ({ reasons, of }: AbandonRule): string =>
  `abandoned / ${of === 'answered' ? '(answered + abandoned)' : 'CDRs'}; abandoned: CDRs without an extension that ended with ${reasons.join(' or ')}`

/** There are thousands of these in an answer. */
const toSecond = (time: string): string => time.replace(/\.\d+Z$/, 'Z')
