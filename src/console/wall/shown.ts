import { type ReadonlySignal, signal } from '@preact/signals'
import type { WallAgent } from '../../client/index.ts'
import { filters, type Filters } from '../location.tsx'
import type { WallModel } from './model.ts'
import { compareStates, UNKNOWN } from './states.ts'
import { type Level, levelOf, LEVELS, thresholds } from './thresholds.ts'

/** Which agents are shown, and in which order, by the filters of the page. */

export const SORTS = [
  { value: 'longest', label: 'longest first' },
  { value: 'state', label: 'state' },
] as const

type Entry = { readonly ref: string; readonly agent: WallAgent; readonly level: Level }

function fits({ ref, agent, level }: Entry, { state, campaign, agent: text, level: least }: Filters): boolean {
  if (state !== undefined && (agent.status ?? UNKNOWN) !== state) return false
  if (campaign !== undefined && agent.campaign !== campaign) return false
  if (text !== undefined && !ref.toLowerCase().includes(text.toLowerCase())) return false
  return least === 'over' ? level === 'over' : least !== 'warn' || level !== 'none'
}

/** Who is over a threshold comes first, then who has been in a state for longer. */
const byTime = (a: Entry, b: Entry): number =>
  LEVELS.indexOf(b.level) - LEVELS.indexOf(a.level) || compareSince(a.agent, b.agent)

/** Nobody waits for those that are offline. */
function compareSince(a: WallAgent, b: WallAgent): number {
  const [isAway, isOtherAway] = [isAbsent(a), isAbsent(b)]
  if (isAway !== isOtherAway) return isAway ? 1 : -1
  const [since, other] = [a.since ?? '', b.since ?? '']
  return since < other ? -1 : Number(since !== other)
}
const isAbsent = ({ status }: WallAgent): boolean => status === null || status === 'offline'

export type Shown = {
  /** References of those that fit the filters; the same array for as long as they are the same. */
  readonly refs: ReadonlySignal<readonly string[]>
  /** How many agents are at each level, of all that fit the other filters. */
  readonly levels: ReadonlySignal<Readonly<Record<Level, number>>>
  /** Looks again. It subscribes to whatever the order depends on. */
  readonly update: () => void
}

export function createShown({ wall, refs, agentOf, nowMs }: WallModel): Shown {
  const shown = signal<readonly string[]>([])
  const levels = signal<Readonly<Record<Level, number>>>({ none: 0, warn: 0, over: 0 })
  return {
    refs: shown,
    levels,
    update: () => {
      // With each answer and each second; a single agent's signal is not subscribed to.
      void wall.value
      const [own, ms] = [filters.value, nowMs.value]
      const { level: _level, ...others } = own
      const counts = { none: 0, warn: 0, over: 0 }
      const found: Entry[] = []
      for (const ref of refs.value) {
        const agent = agentOf(ref)?.peek()
        if (agent === undefined) continue
        const entry = { ref, agent, level: levelOf(agent, thresholds.value, ms) }
        if (!fits(entry, others)) continue
        counts[entry.level]++
        if (fits(entry, own)) found.push(entry)
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
