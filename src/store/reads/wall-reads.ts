import type { Agent, Figures, Wall, WallAgent, WallCampaign } from '../../answers/index.ts'
import { DAY_MS, HOUR_MS, msOf, parseDocument, QUARTER_MS } from '../document.ts'
import { readWallScript } from '../steps.ts'
import { StoreError } from '../store-errors.ts'
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
import { countBy, type Named, type ReadOptions, readReferences, toTexts } from './list-pages.ts'

/** A document as last read. A changed text gets a new object, so results can be cached by the object. */
type CachedDocument = {
  readonly text: string | null
  readonly fields: ReadonlyMap<string, string>
  /** The document cannot expire before this time (Unix ms). After it, the document is read every time. */
  readonly dueMs: number
}

/** The names of all agents and campaigns. */
type Names = { readonly agents: readonly Named[]; readonly campaigns: readonly Named[] }

/** The documents as they were at `atMs` (Unix ms) or later. Use them before the next `await`, because the next read changes them. */
type WallDocuments = {
  readonly atMs: number
  readonly names: Names
  readonly documentOf: (name: string) => CachedDocument
}

/** How often (ms) everything is read again, to notice evictions and writes by other programs. */
const MAX_CACHE_MS = 5 * 60_000
/** Maximum commits examined in one read. Beyond them, reading everything again costs less. */
const MAX_COMMITS = 1_000
/**
 * Maximum bytes of documents in the script's reply; the remaining documents are requested separately. In JSON, a control character takes
 * six bytes.
 */
const MAX_SCRIPT_BYTES = 400_000
/** Documents read in one request: an agent's document has up to 4 kB, and a reply is limited to 1 MB. */
const DOCUMENTS_PER_READ = 250
/** The clock of the function that wrote a document may be this far ahead (ms). */
const MAX_CLOCK_SKEW_MS = 60_000

/**
 * Creates the cache of the wall's documents. The change stream names the documents written since the last read, so one round trip reads
 * only these. Reading everything takes two: at first, every five minutes, and after a pause so long that the stream no longer contains the
 * cursor.
 *
 * @param wantedOf returns the names of the documents, which are keys without their prefix
 */
function createWallDocuments(options: ReadOptions, wantedOf: (names: Names, nowMs: number) => readonly string[]) {
  const { upstash, prefix, now, expiries } = options
  const script = readWallScript()
  const registries = ['agents', 'campaigns'].map((name) => ['ZRANGE', prefix + name, '0', '-1'])
  let documents = new Map<string, CachedDocument>()
  let names: Names = { agents: [], campaigns: [] }
  /** The place in the stream at or before which the documents were read, and the time at which all of them were read. */
  let cursor: string | undefined
  let wholeMs = 0

  const keptMs: Readonly<Record<string, number>> = {
    agent: expiries.agent * 1_000,
    campaign: expiries.campaign * 1_000,
    figures: expiries.cdr * 1_000 + DAY_MS,
  }
  const toCachedDocument = (name: string, text: string | null): CachedDocument => {
    const before = documents.get(name)
    if (before?.text === text) return before
    const fields = parseDocument(text)
    // The script updates this field once an hour, so it is never later than the last write.
    const dueMs = Number(fields.get('registered')) + (keptMs[name.split(':', 1)[0] ?? ''] ?? 0) - MAX_CLOCK_SKEW_MS
    // A gap is written without being named in the stream.
    const isAlwaysDue = name === GAPS || (text !== null && Number.isNaN(dueMs))
    return { text, fields, dueMs: isAlwaysDue ? 0 : text === null ? Infinity : dueMs }
  }
  const toNames = async (agents: unknown, campaigns: unknown): Promise<Names> => ({
    agents: await readReferences(options, toTexts(agents)),
    campaigns: await readReferences(options, toTexts(campaigns)),
  })
  const readDocuments = async (some: readonly string[]): Promise<(readonly [string, CachedDocument])[]> => {
    const portions = Array.from({ length: Math.ceil(some.length / DOCUMENTS_PER_READ) }, (_, at) =>
      some.slice(at * DOCUMENTS_PER_READ, (at + 1) * DOCUMENTS_PER_READ),
    )
    const texts = await Promise.all(portions.map((own) => upstash.readTexts(own.map((name) => prefix + name))))
    return texts.flat().map((text, at) => [some[at] as string, toCachedDocument(some[at] as string, text)] as const)
  }

  const readEverything = async (nowMs: number): Promise<void> => {
    // Read the end of the stream first, so that documents written meanwhile are read again.
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

  /** Reads the documents written since. Returns false if the stream does not name them. */
  const readChanged = async (from: string, nowMs: number): Promise<boolean> => {
    // Includes the documents of a day that has begun since.
    const due = wantedOf(names, nowMs).filter((name) => (documents.get(name)?.dueMs ?? 0) <= nowMs)
    if (due.length > DOCUMENTS_PER_READ) return false
    const [agents, campaigns, texts, reply] = await upstash.readAll([
      ...registries,
      ['MGET', ...due.map((name) => prefix + name)],
      ['EVAL', script, '1', `${prefix}changes`, from, prefix, String(MAX_COMMITS), String(MAX_SCRIPT_BYTES)],
    ])
    const [to, changed = [], own = []] = reply as [string?, string[]?, (string | null)[]?]
    if (to === undefined) return false
    for (const [at, name] of due.entries())
      documents.set(name, toCachedDocument(name, (texts as (string | null)[])[at] ?? null))
    for (const [at, text] of own.entries())
      documents.set(changed[at] as string, toCachedDocument(changed[at] as string, text))
    names = await toNames(agents, campaigns)
    const missing = wantedOf(names, nowMs).filter((name) => !documents.has(name))
    for (const [name, document] of await readDocuments([...new Set([...changed.slice(own.length), ...missing])]))
      documents.set(name, document)
    cursor = to
    return true
  }

  return runOneAtATime(async (): Promise<WallDocuments> => {
    const atMs = now()
    const isRecent = atMs >= wholeMs && atMs - wholeMs < MAX_CACHE_MS
    const isUpToDate = cursor !== undefined && isRecent && (await readChanged(cursor, atMs).catch(toFalse))
    if (!isUpToDate) await readEverything(atMs)
    return { atMs, names, documentOf: (name) => documents.get(name) ?? toCachedDocument(name, null) }
  })
}

/** Returns false, so that everything is read, if a reply is too large or the token may not run scripts. @throws any other error */
function toFalse(error: unknown): boolean {
  if (error instanceof StoreError && /refused|too_large/.test(error.code)) return false
  throw error
}

/** Runs one call at a time. Callers that arrive meanwhile share the next run, which begins after they called. */
function runOneAtATime<T>(run: () => Promise<T>): () => Promise<T> {
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
