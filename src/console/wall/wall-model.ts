import { batch, computed, effect, type ReadonlySignal, signal, type Signal } from '@preact/signals'
import type { Wall, WallAgent, WallCampaign } from '../../client/index.ts'
import { createFrameWriter, createTicker, now, setClock, type FrameWriter, type Ticker } from '../clock.ts'
import { onChanges } from '../session.ts'
import { filters, type Filters } from '../location.tsx'
import { type Level, levelOf, LEVELS, thresholds } from './thresholds.tsx'
import { compareStates, UNKNOWN } from './wall-figures.tsx'

/**
 * The data of the wall. An answer of the API has all agents and campaigns. Each of them has a separate signal, so that only tiles and rows that
 * differ are rendered again, a few in each frame.
 */
export type WallModel = {
  /** The answer that is shown, without its agents and campaigns. */
  readonly wall: ReadonlySignal<Wall | undefined>
  /** The sorted references of all agents. The array is replaced only when they change. */
  readonly refs: ReadonlySignal<readonly string[]>
  readonly agentOf: (ref: string) => ReadonlySignal<WallAgent> | undefined
  /** The references of all campaigns, running ones first. The array is replaced only when they change. */
  readonly campaignRefs: ReadonlySignal<readonly string[]>
  readonly campaignOf: (ref: string) => ReadonlySignal<WallCampaign> | undefined
  /** The API's time in Unix ms. It stops while the wall is paused. */
  readonly nowMs: ReadonlySignal<number>
  readonly ticker: Ticker
  /** Undefined while the wall is live. */
  readonly pause: ReadonlySignal<Pause | undefined>
  readonly isPaused: ReadonlySignal<boolean>
  /** Pauses or resumes the wall. */
  readonly togglePause: () => void
  /** Shows an answer. */
  readonly show: (wall: Wall) => void
  /** Resolves when the wall is live or the signal aborts. */
  readonly untilLive: (abort: AbortSignal) => Promise<void>
  readonly dispose: () => void
}

export type Pause = {
  /** Unix ms, by the API's clock. */
  readonly sinceMs: number
  /** The number of changes that are not shown. */
  readonly missed: number
}

/** Compares numbers by value, so that 99 is before 100. A collator does the same, but takes 50 ms for 2,000 names. */
const compareRefs = (a: string, b: string): number =>
  (isNumber(a) && isNumber(b) ? Number(a) - Number(b) : 0) || (a < b ? -1 : Number(a !== b))
const isNumber = (ref: string): boolean => /^\d{1,15}$/.test(ref)

const RANKS: Readonly<Record<string, number>> = { started: 0, stopping: 1 }
const compareCampaigns = (a: WallCampaign, b: WallCampaign): number =>
  (RANKS[a.status ?? ''] ?? 2) - (RANKS[b.status ?? ''] ?? 2) || compareRefs(a.ref, b.ref)

const isSame = (a: object, b: object): boolean => JSON.stringify(a) === JSON.stringify(b)
const isSameOrder = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((ref, at) => b[at] === ref)

/** Agents and campaigns that are updated in one frame. A row of a campaign has as many elements as a dozen tiles. */
const [AGENTS_PER_FRAME, CAMPAIGNS_PER_FRAME] = [30, 1]

export function createWallModel(): WallModel {
  const wall = signal<Wall | undefined>(undefined)
  const refs = signal<readonly string[]>([])
  const pause = signal<Pause | undefined>(undefined)
  const isPaused = computed(() => pause.value !== undefined)
  const nowMs = signal(now.peek())
  const agents = new Map<string, Signal<WallAgent>>()
  const campaignRefs = signal<readonly string[]>([])
  const campaigns = new Map<string, Signal<WallCampaign>>()
  const [agentWriter, campaignWriter] = [createFrameWriter(AGENTS_PER_FRAME), createFrameWriter(CAMPAIGNS_PER_FRAME)]

  const stopClock = effect(() => {
    if (!isPaused.value) nowMs.value = now.value
  })
  const ticker = createTicker(nowMs)
  const stopChanges = onChanges(({ changes }) => {
    const paused = pause.peek()
    if (paused !== undefined) pause.value = { ...paused, missed: paused.missed + changes.filter(isOfWall).length }
  })

  /** Updates the signals of agents or campaigns. Returns whether the set of references has changed. */
  const update = <Item extends WallAgent | WallCampaign>(
    own: Map<string, Signal<Item>>,
    next: readonly Item[],
    writer: FrameWriter,
  ) => {
    let hasChanged = next.length !== own.size
    for (const item of next) {
      const shown = own.get(item.ref)
      if (shown === undefined) {
        own.set(item.ref, signal(item))
        hasChanged = true
      } else if (isSame(shown.peek(), item)) writer.cancel(shown)
      else writer.set(shown, item)
    }
    if (!hasChanged) return false
    const present = new Set(next.map(({ ref }) => ref))
    for (const ref of own.keys()) if (!present.has(ref)) own.delete(ref)
    return true
  }

  const show = (next: Wall) =>
    batch(() => {
      setClock(next.at)
      if (update(agents, next.agents, agentWriter)) refs.value = [...agents.keys()].toSorted(compareRefs)
      update(campaigns, next.campaigns, campaignWriter)
      const inOrder = next.campaigns.toSorted(compareCampaigns).map(({ ref }) => ref)
      if (!isSameOrder(inOrder, campaignRefs.peek())) campaignRefs.value = inOrder
      wall.value = { ...next, agents: [], campaigns: [] }
    })

  return {
    wall,
    refs,
    agentOf: (ref) => agents.get(ref),
    campaignRefs,
    campaignOf: (ref) => campaigns.get(ref),
    nowMs,
    ticker,
    pause,
    isPaused,
    togglePause: () => {
      pause.value = isPaused.peek() ? undefined : { sinceMs: now.peek(), missed: 0 }
    },
    show,
    untilLive: async (abort) => {
      if (!isPaused.peek() || abort.aborted) return
      const { promise, resolve } = Promise.withResolvers<void>()
      const onAbort = () => resolve()
      const stop = effect(() => {
        if (!isPaused.value) resolve()
      })
      abort.addEventListener('abort', onAbort)
      await promise
      abort.removeEventListener('abort', onAbort)
      stop()
    },
    dispose: () => {
      stopClock()
      ticker.dispose()
      agentWriter.dispose()
      campaignWriter.dispose()
      stopChanges()
    },
  }
}

/** Returns whether a change affects the wall. */
export const isOfWall = ({ type }: { readonly type: string }): boolean =>
  type === 'relay/gap' || type === 'inbound/call' || /^(?:agents|campaigns)\/(?:status|call|cdr)$/.test(type)

/** The orders of agents besides the reference. */
export const SORTS = [
  { value: 'longest', label: 'longest first' },
  { value: 'state', label: 'state' },
] as const

type Entry = { readonly ref: string; readonly agent: WallAgent; readonly level: Level }

function matches({ ref, agent, level }: Entry, { state, campaign, agent: text, level: least }: Filters): boolean {
  if (state !== undefined && (agent.status ?? UNKNOWN) !== state) return false
  if (campaign !== undefined && agent.campaign !== campaign) return false
  if (text !== undefined && !ref.toLowerCase().includes(text.toLowerCase())) return false
  return least === 'over' ? level === 'over' : least !== 'warn' || level !== 'none'
}

/** Sorts agents over a threshold first, then by the time in their state. */
const byTime = (a: Entry, b: Entry): number =>
  LEVELS.indexOf(b.level) - LEVELS.indexOf(a.level) || compareSince(a.agent, b.agent)

/** Sorts by the time in the state, longest first. Offline agents come last. */
function compareSince(a: WallAgent, b: WallAgent): number {
  const [isAway, isOtherAway] = [isAbsent(a), isAbsent(b)]
  if (isAway !== isOtherAway) return isAway ? 1 : -1
  const [since, other] = [a.since ?? '', b.since ?? '']
  return since < other ? -1 : Number(since !== other)
}
const isAbsent = ({ status }: WallAgent): boolean => status === null || status === 'offline'

/** The agents that match the filters of the page, in the chosen order. */
export type ShownAgents = {
  /** Their references. The array is replaced only when they change. */
  readonly refs: ReadonlySignal<readonly string[]>
  /** The number of agents at each level, among agents that match the other filters. */
  readonly levels: ReadonlySignal<Readonly<Record<Level, number>>>
  /** Updates both. It subscribes to every signal that the order depends on. */
  readonly update: () => void
}

export function createShownAgents({ wall, refs, agentOf, nowMs }: WallModel): ShownAgents {
  const shown = signal<readonly string[]>([])
  const levels = signal<Readonly<Record<Level, number>>>({ none: 0, warn: 0, over: 0 })
  return {
    refs: shown,
    levels,
    update: () => {
      // It runs for each answer and each second, without a subscription to the signal of each agent.
      void wall.value
      const [own, ms] = [filters.value, nowMs.value]
      const { level: _level, ...others } = own
      const counts = { none: 0, warn: 0, over: 0 }
      const found: Entry[] = []
      for (const ref of refs.value) {
        const agent = agentOf(ref)?.peek()
        if (agent === undefined) continue
        const entry = { ref, agent, level: levelOf(agent, thresholds.value, ms) }
        if (!matches(entry, others)) continue
        counts[entry.level]++
        if (matches(entry, own)) found.push(entry)
      }
      if (own['sort'] === 'longest') found.sort(byTime)
      else if (own['sort'] === 'state')
        found.sort((a, b) => compareStates(a.agent.status, b.agent.status) || compareSince(a.agent, b.agent))
      const before = shown.peek()
      if (before.length !== found.length || found.some(({ ref }, at) => before[at] !== ref))
        shown.value = found.map(({ ref }) => ref)
      const { none, warn, over } = levels.peek()
      if (none !== counts.none || warn !== counts.warn || over !== counts.over) levels.value = counts
    },
  }
}
