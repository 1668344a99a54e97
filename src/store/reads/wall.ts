import type { Agent, Figures, Wall, WallAgent, WallCampaign } from '../../answers/index.ts'
import { parseDocument } from '../document.ts'
import type { AbandonRule } from '../types.ts'
import { toAgent } from './agents.ts'
import { toCampaign } from './campaigns.ts'
import { dayOf, daysSince, figuresKey, readQuarters, toFigures, type Quarter, type Span } from './figures.ts'
import { countBy, readReferences, toTexts, type Named, type ReadOptions } from './replies.ts'
import { gapsKey, toGapMarks } from './states.ts'
import { HOUR_MS, QUARTER_MS } from '../terms.ts'

/** Documents that are asked for in one request: those of agents have up to 4 kB, and a reply may have 1 MB. */
const AT_ONCE = 250

type Names = { readonly agents: readonly Named[]; readonly campaigns: readonly Named[] }

/**
 * The call centre now. Which agents and campaigns there are is asked for together with what the last answer knew of, so that all comes in one
 * round trip; the first answer of a process, and one after somebody was heard of for the first time, takes another.
 */
export function createWall(options: ReadOptions) {
  const { upstash, prefix, timeZone, now } = options
  let known: Names = { agents: [], campaigns: [] }

  /** The texts under these keys, and the names that there are. */
  const ask = async (keys: readonly string[]) => {
    const portions = Array.from({ length: Math.max(1, Math.ceil(keys.length / AT_ONCE)) }, (_, at) =>
      keys.slice(at * AT_ONCE, (at + 1) * AT_ONCE),
    )
    const [first = [], ...rest] = portions
    const [[agents, campaigns, own], ...others] = await Promise.all([
      upstash.readAll([
        ['ZRANGE', `${prefix}agents`, '0', '-1'],
        ['ZRANGE', `${prefix}campaigns`, '0', '-1'],
        ...(first.length === 0 ? [] : [['MGET', ...first]]),
      ]),
      ...rest.map((some) => upstash.readTexts(some)),
    ])
    const texts = [...((own ?? []) as (string | null)[]), ...others.flat()]
    return {
      agents: toTexts(agents),
      campaigns: toTexts(campaigns),
      texts: new Map(keys.map((key, at) => [key, texts[at]])),
    }
  }

  return async (rule: AbandonRule): Promise<Wall> => {
    const nowMs = now()
    const today = dayOf(timeZone, nowMs)
    const lastHour = { fromMs: Math.floor((nowMs - HOUR_MS) / QUARTER_MS) * QUARTER_MS, toMs: Infinity }
    const days = daysSince(Math.min(today.fromMs, lastHour.fromMs), nowMs)
    // CDRs that name no campaign count in the totals only.
    const ofNobody = (own: readonly number[]) => own.map((day) => figuresKey(prefix, '', day))
    const keysOf = ({ agents, campaigns }: Names) => [
      gapsKey(prefix),
      ...ofNobody(days),
      ...campaigns.flatMap(({ name }) => [
        `${prefix}campaign:${name}`,
        ...days.map((day) => figuresKey(prefix, name, day)),
      ]),
      ...agents.map(({ name }) => `${prefix}agent:${name}`),
    ]
    const found = await ask(keysOf(known))
    const names = {
      agents: await readReferences(options, found.agents),
      campaigns: await readReferences(options, found.campaigns),
    }
    const missing = keysOf(names).filter((key) => !found.texts.has(key))
    const more = await upstash.readTexts(missing)
    for (const [at, key] of missing.entries()) found.texts.set(key, more[at])
    known = names

    const textOf = (key: string) => found.texts.get(key)
    const gaps = toGapMarks(textOf(gapsKey(prefix)))
    const agents = names.agents.map(({ ref, name }) =>
      toAgent(options, ref, parseDocument(textOf(`${prefix}agent:${name}`)), gaps),
    )
    const rows = agents.map(toRow)
    const quarters = new Map(
      names.campaigns.map(({ name }) => [
        name,
        readQuarters(
          days,
          days.map((day) => textOf(figuresKey(prefix, name, day))),
        ),
      ]),
    )
    const figuresOf = (own: readonly Quarter[]): { today: Figures; last_hour: Figures } => {
      const of = (span: Span) => toFigures(own, span, rule)
      return { today: of(today), last_hour: of(lastHour) }
    }
    const states = agents.flatMap(({ states: own }) => own)
    const campaigns = names.campaigns.map(({ ref, name }): WallCampaign => {
      const { status, since, unsure } = toCampaign(
        'campaign',
        ref,
        parseDocument(textOf(`${prefix}campaign:${name}`)),
        gaps,
      )
      return {
        ref,
        status,
        since,
        ...(unsure ? { unsure } : {}),
        agents: countBy(states.filter(({ campaign_ref: own }) => own === ref).map((state) => state.status)),
        calls: agents.filter(({ call }, at) => call !== null && (call.campaign_ref ?? rows[at]?.campaign) === ref)
          .length,
        ...figuresOf(quarters.get(name) ?? []),
      }
    })
    return {
      at: new Date(nowMs).toISOString(),
      totals: {
        campaigns: countBy(campaigns.map(({ status }) => status ?? 'unknown')),
        agents: countBy(rows.map(({ status }) => status ?? 'unknown')),
        calls: rows.filter(({ call }) => call !== undefined).length,
        unsure: rows.filter(({ unsure, call }) => unsure ?? call?.unsure).length,
        ...figuresOf([...readQuarters(days, ofNobody(days).map(textOf)), ...[...quarters.values()].flat()]),
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
