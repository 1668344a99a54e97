import { readWallScript } from '../steps.ts'
import { type AbandonRule, dayOf, daysSince, figuresKey, readQuarters, toFigures, type Quarter, type Span } from './figures.ts'
import { msOf, DAY_MS, HOUR_MS, QUARTER_MS, parseDocument } from '../document.ts'
import type { Agent, Figures, Wall, WallAgent, WallCampaign } from '../../answers/index.ts'
import { toAgent } from './agent-reads.ts'
import { toCampaign } from './campaign-reads.ts'
import { countBy, type ReadOptions, readReferences, toTexts, type Named } from './list-pages.ts'
import { GAPS, toGapMarks, type GapMarks } from './latest-reads.ts'
import { StoreError } from '../store-errors.ts'

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

/** A document as it was last read. The object is another one once its text is, so what follows from a document can be kept by it. */
export type Held = {
  readonly text: string | null
  readonly fields: ReadonlyMap<string, string>
  /** Until then (unix ms) it cannot expire; from then on it is read each time. */
  readonly dueMs: number
}

/** Which agents and campaigns there are. */
export type Names = { readonly agents: readonly Named[]; readonly campaigns: readonly Named[] }

/** What was read, as it was at `atMs` (unix) or later. Good until something else is waited for: the next read changes it. */
export type WallDocuments = { readonly atMs: number; readonly names: Names; readonly held: (name: string) => Held }

/** Reads that are not of documents: what else writes to the database, or evicts from it, is noticed after so long. */
const WHOLE_MS = 5 * 60_000
/** Commits that are looked at for one read: with more of them it costs less to read all anew. */
const MOST_COMMITS = 1_000
/** Bytes of documents that the script answers with; the rest is asked for. In JSON a control character takes six. */
const MOST_BYTES = 400_000
/** Documents that are asked for in one request: those of agents have up to 4 kB, and a reply may have 1 MB. */
const AT_ONCE = 250
/** The clock of the function that wrote a document may be ahead of this one. */
const CLOCKS_MS = 60_000

/**
 * The documents of which the wall is made, kept from one read to the next. The stream of changes names those that were written since, and only
 * these are moved, in one round trip. Two where all is read: at first, every five minutes, and after a pause so long that the
 * stream has forgotten where this one was.
 *
 * @param wantedOf the names of the documents, which are keys without their prefix
 */
export function createWallDocuments(
  options: ReadOptions,
  wantedOf: (names: Names, nowMs: number) => readonly string[],
) {
  const { upstash, prefix, now, expiries } = options
  const script = readWallScript()
  const registries = ['agents', 'campaigns'].map((name) => ['ZRANGE', prefix + name, '0', '-1'])
  let documents = new Map<string, Held>()
  let names: Names = { agents: [], campaigns: [] }
  /** Where in the stream the documents were read, at the earliest, and when all of them were. */
  let cursor: string | undefined
  let wholeMs = 0

  const keptMs: Readonly<Record<string, number>> = {
    agent: expiries.agent * 1_000,
    campaign: expiries.campaign * 1_000,
    figures: expiries.cdr * 1_000 + DAY_MS,
  }
  const toHeld = (name: string, text: string | null): Held => {
    const before = documents.get(name)
    if (before?.text === text) return before
    const fields = parseDocument(text)
    // What is noted there once an hour is no later than when it was last written.
    const dueMs = Number(fields.get('registered')) + (keptMs[name.split(':', 1)[0] ?? ''] ?? 0) - CLOCKS_MS
    // A gap is noted without being named in the stream.
    const isAlwaysDue = name === GAPS || (text !== null && Number.isNaN(dueMs))
    return { text, fields, dueMs: isAlwaysDue ? 0 : text === null ? Infinity : dueMs }
  }
  const toNames = async (agents: unknown, campaigns: unknown): Promise<Names> => ({
    agents: await readReferences(options, toTexts(agents)),
    campaigns: await readReferences(options, toTexts(campaigns)),
  })
  const readDocuments = async (some: readonly string[]): Promise<(readonly [string, Held])[]> => {
    const portions = Array.from({ length: Math.ceil(some.length / AT_ONCE) }, (_, at) =>
      some.slice(at * AT_ONCE, (at + 1) * AT_ONCE),
    )
    const texts = await Promise.all(portions.map((own) => upstash.readTexts(own.map((name) => prefix + name))))
    return texts.flat().map((text, at) => [some[at] as string, toHeld(some[at] as string, text)] as const)
  }

  const readWhole = async (nowMs: number): Promise<void> => {
    // The end of the stream first: documents that are written meanwhile are read again.
    const [last, ...lists] = await upstash.readAll([
      ['XREVRANGE', `${prefix}changes`, '+', '-', 'COUNT', '1'],
      ...registries,
    ])
    const [end] = (last ?? []) as [id: string, fields: unknown][]
    const found = await toNames(lists[0], lists[1])
    documents = new Map(await readDocuments(wantedOf(found, nowMs)))
    names = found
    cursor = end?.[0]
    wholeMs = nowMs
  }

  /** Whether what was written since could be told. */
  const readChanged = async (from: string, nowMs: number): Promise<boolean> => {
    // Also those of a day that has begun since.
    const due = wantedOf(names, nowMs).filter((name) => (documents.get(name)?.dueMs ?? 0) <= nowMs)
    if (due.length > AT_ONCE) return false
    const [agents, campaigns, texts, reply] = await upstash.readAll([
      ...registries,
      ['MGET', ...due.map((name) => prefix + name)],
      ['EVAL', script, '1', `${prefix}changes`, from, prefix, String(MOST_COMMITS), String(MOST_BYTES)],
    ])
    const [to, changed = [], own = []] = reply as [string?, string[]?, (string | null)[]?]
    if (to === undefined) return false
    for (const [at, name] of due.entries()) documents.set(name, toHeld(name, (texts as (string | null)[])[at] ?? null))
    for (const [at, text] of own.entries()) documents.set(changed[at] as string, toHeld(changed[at] as string, text))
    names = await toNames(agents, campaigns)
    const missing = wantedOf(names, nowMs).filter((name) => !documents.has(name))
    for (const [name, held] of await readDocuments([...new Set([...changed.slice(own.length), ...missing])]))
      documents.set(name, held)
    cursor = to
    return true
  }

  return inTurn(async (): Promise<WallDocuments> => {
    const atMs = now()
    const isRecent = atMs >= wholeMs && atMs - wholeMs < WHOLE_MS
    const isUpToDate = cursor !== undefined && isRecent && (await readChanged(cursor, atMs).catch(toFalse))
    if (!isUpToDate) await readWhole(atMs)
    return { atMs, names, held: (name) => documents.get(name) ?? toHeld(name, null) }
  })
}

/** A reply that is too large, or a token that may run no script: then all is read. @throws any other error */
function toFalse(error: unknown): boolean {
  if (error instanceof StoreError && /refused|too_large/.test(error.code)) return false
  throw error
}

/** Runs one at a time; those who ask meanwhile share the next run, which begins after they asked. */
function inTurn<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> = Promise.resolve()
  let next: Promise<T> | undefined
  return () => {
    if (next !== undefined) return next
    const start = () => {
      next = undefined
      return run()
    }
    const mine = running.then(start, start)
    next = mine
    running = mine
    return mine
  }
}
