import { dialerStatus, type Outgoing } from '../producer/index.ts'
import { closeCentre, startCampaign } from './campaigns.ts'
import { noAgentStats, noCampaignStats, startShift, type Agent, type Campaign, type Centre } from './centre.ts'
import { createRandom, SimulatorError, type Random } from './random.ts'
import { startClick2Dial, startOddities, startReports } from './side-traffic.ts'

export type ScheduleOptions = {
  /** How many agents work in campaigns. */
  readonly agents: number
  /** Each seed gives a different day. */
  readonly seed: number
  /** Returns the Unix time (ms) of an instant (ms) of virtual time, from which `dialed_at` is computed. */
  readonly toUnixMs: (atMs: number) => number
}

/** A packet and the time at which it is written (ms of virtual time since the start). */
export type TimedPacket = { readonly atMs: number; readonly outgoing: Outgoing }

const CAMPAIGNS = ['spring-offer', 'renewals', 'collections', 'survey', 'win-back', 'welcome'] as const

/** Creates the packets of an endless day in a call centre, in order of time. They depend on the options only. */
export function createSchedule({ agents, seed, toUnixMs }: ScheduleOptions) {
  const random = createRandom(seed)
  const timetable = createTimetable()
  const written: TimedPacket[] = []
  const campaigns = makeCampaigns(agents)
  // A dialler numbers calls in its database: the numbers rise, and do not start at 1.
  let callRef = Math.floor(toUnixMs(0) / 1_000) % 100_000_000
  const centre: Centre = {
    random,
    now: timetable.now,
    after: timetable.after,
    emit: (outgoing) => written.push({ atMs: timetable.now(), outgoing }),
    nextCallRef: () => ++callRef,
    unixSeconds: (atMs) => Math.floor(toUnixMs(atMs) / 1_000),
    dialerRef: 'dialler-1',
    agents: makeAgents(agents, campaigns, random),
    campaigns,
    calls: new Set(),
    sideCalls: new Set(),
    recentCdrs: [],
  }
  open(centre)
  return {
    next: (): TimedPacket => {
      while (written.length === 0)
        if (!timetable.step()) throw new SimulatorError('the timetable of an endless day is empty')
      return written.shift() as TimedPacket
    },
    /** Returns the packets that end the day at the instant of the last `next`. No packet follows them. */
    close: (): TimedPacket[] => {
      closeCentre(centre)
      return written.splice(0)
    },
  }
}

export type Schedule = ReturnType<typeof createSchedule>

function makeCampaigns(agents: number): Campaign[] {
  const count = Math.min(CAMPAIGNS.length, 2 + Math.floor(Math.log10(agents)))
  return CAMPAIGNS.slice(0, count).map((ref, list) => ({
    ref,
    members: [],
    ready: new Set(),
    waiting: new Set(),
    state: 'stopped',
    run: 0,
    ringing: 0,
    talking: 0,
    present: 0,
    list,
    callees: 0,
    nextCallee: 0,
    stats: noCampaignStats(),
  }))
}

/** Creates the agents. All are in one campaign, half of them in a second one, a tenth in a third. */
function makeAgents(count: number, campaigns: readonly Campaign[], random: Random): Agent[] {
  return Array.from({ length: count }, (_, at) => {
    const point = random.next()
    const share = Math.min(campaigns.length, point < 0.1 ? 3 : point < 0.5 ? 2 : 1)
    const own = Array.from({ length: share }, (_none, step) => campaigns[(at + step) % campaigns.length] as Campaign)
    const agent: Agent = {
      ref: String(1001 + at),
      campaigns: own,
      statuses: new Map(),
      onShift: false,
      activity: 'away',
      activitySinceMs: 0,
      stats: noAgentStats(),
    }
    for (const campaign of own) campaign.members.push(agent)
    return agent
  })
}

/** Starts the dialler, then the campaigns, then the agents: most of them at once, some late. */
function open(centre: Centre): void {
  const { random } = centre
  centre.emit(dialerStatus({ ref: centre.dialerRef, status: 'started' }))
  for (const [at, campaign] of centre.campaigns.entries())
    centre.after(200 + at * 500, () => startCampaign(centre, campaign))
  for (const agent of centre.agents) {
    const late = random.chance(0.1)
    centre.after(late ? random.between(10_000, 120_000) : random.between(300, 8_000), () => startShift(centre, agent))
  }
  startReports(centre)
  startClick2Dial(centre)
  startOddities(centre)
}

type Entry = { readonly atMs: number; readonly order: number; readonly task: () => void }

const isBefore = (a: Entry, b: Entry) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** Creates a timetable of tasks in virtual time, stored as a heap. Tasks of the same instant run in the order in which they were added. */
export function createTimetable() {
  const heap: Entry[] = []
  let nowMs = 0
  let order = 0

  const add = (entry: Entry) => {
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Entry
      if (!isBefore(entry, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = entry
  }

  const take = (): Entry | undefined => {
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (let left = 1; left < heap.length; left = 2 * at + 1) {
      const right = left + 1
      const child = right < heap.length && isBefore(heap[right] as Entry, heap[left] as Entry) ? right : left
      const below = heap[child] as Entry
      if (!isBefore(below, last)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
    return first
  }

  return {
    now: () => nowMs,
    /** Adds a task `ms` from now. A negative time means now. */
    after: (ms: number, task: () => void): void => add({ atMs: nowMs + Math.max(0, ms), order: order++, task }),
    /** Advances the time to the next task and runs it. Returns false if there is none. */
    step: (): boolean => {
      const entry = take()
      if (entry === undefined) return false
      nowMs = entry.atMs
      entry.task()
      return true
    },
  }
}
