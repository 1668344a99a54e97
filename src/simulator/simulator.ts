import { ProducerError, toPresentState, type Producer } from '../producer/index.ts'
import { BASE_KEY } from '../protocol/index.ts'
import { sleep } from '../runtime/index.ts'
import { SimulatorError } from './random.ts'
import { createSchedule, type TimedPacket } from './schedule.ts'

/** The lists that the simulator pushes to: a relay that does not take them lets them grow. */
export const SIMULATOR_LISTS = [`${BASE_KEY}:campaigns`, `${BASE_KEY}:cdr`, `${BASE_KEY}:inbound`] as const

/** The call centre to play. */
export type CallCentre = {
  /** How many agents work in campaigns, 1 to 100,000. */
  readonly agents: number
  /** How much faster than real time, above 0. */
  readonly speed: number
  /** A whole number; the same one gives the same packets. */
  readonly seed: number
}

/** Default call centre: 40 agents, about 5 packets a second, in real time, with seed 1. */
export type SimulatorOptions = Partial<CallCentre> & {
  readonly producer: Producer
  /** The unix time (ms) of the start, which `dialed_at` and the first `call_ref` are made of. Default: now. */
  readonly startMs?: number
  /** A clock (ms) that only goes forward. Default `performance.now`. */
  readonly now?: () => number
  /** Called for each packet when Redis has taken it. */
  readonly onEvent?: (event: TimedPacket) => void
}

/** Most packets in flight at once. */
const BATCH = 1_000

/**
 * A call centre that is played on a dialler's Redis. The packets are a function of `agents`, `seed`, `speed` and `startMs` alone (`dialed_at` follows the real clock, whatever the
 * speed); real time decides only when each is sent.
 *
 * @throws SimulatorError that names the option which cannot be used.
 * @example
 * const producer = createProducer({ url: 'redis://127.0.0.1:8001' })
 * const simulator = createSimulator({ producer, agents: 100, speed: 2 })
 * await simulator.run(AbortSignal.timeout(60_000))
 * console.log(simulator.counters)
 * await producer.close()
 */
export function createSimulator(options: SimulatorOptions) {
  const { producer, agents = 40, speed = 1, seed = 1, now = () => performance.now(), onEvent } = options
  const isTeamSize = Number.isInteger(agents) && agents >= 1 && agents <= 100_000
  check('agents', agents, isTeamSize, 'a whole number from 1 to 100,000')
  check('speed', speed, Number.isFinite(speed) && speed > 0, 'a number above 0')
  check('seed', seed, Number.isSafeInteger(seed), 'a whole number')
  const writer = createWriter(producer, onEvent)

  /**
   * Plays until the signal aborts, then ends the day (agents go offline, campaigns stop) and resolves. Outages of Redis are
   * borne as a dialler bears them: PubSub is lost, lists are pushed later.
   *
   * @throws ProducerError when Redis does not take the first packets.
   */
  const run = async (signal: AbortSignal): Promise<void> => {
    const startMs = options.startMs ?? Date.now()
    const schedule = createSchedule({ agents, seed, toUnixMs: (atMs) => startMs + atMs / speed })
    const pace = createPace({ speed, now })
    let next = schedule.next()
    while (!signal.aborted) {
      const untilMs = pace.look()
      const batch: TimedPacket[] = []
      for (; next.atMs <= untilMs && batch.length < BATCH; next = schedule.next()) batch.push(next)
      await writer.write(batch)
      if (next.atMs > untilMs) await sleep(Math.min(LOOK_MS, Math.max(0, pace.waitMs(next.atMs))), signal)
    }
    await writer.write([next, ...schedule.close()])
  }

  return { run, counters: writer.counters as Readonly<typeof writer.counters> }
}

function check(name: string, value: number, good: boolean, wanted: string): void {
  if (!good) throw new SimulatorError(`${name} must be ${wanted}, not ${value}`)
}

const isNotTaken = (error: unknown): error is ProducerError =>
  error instanceof ProducerError && error.code === 'producer.write.not_taken'

/** Writes packets, and keeps what is for a list while Redis does not take it, as the dialler keeps its backup files. */
function createWriter(producer: Producer, onEvent: SimulatorOptions['onEvent']) {
  /** What has been written so far. */
  const counters = {
    /** Packets that Redis took by PUBLISH, heard by anybody or not. */
    published: 0,
    /** Packets that Redis took by LPUSH. */
    pushed: 0,
    /** Packets for PubSub that Redis did not take: gone, as with a real dialler. */
    lost: 0,
    /** Packets for lists that Redis has not taken yet: pushed when it takes again. */
    kept: 0,
  }
  let kept: TimedPacket[] = []
  let everTaken = false

  const taken = (event: TimedPacket) => {
    everTaken = true
    if (event.outgoing.transport === 'pubsub') counters.published++
    else counters.pushed++
    onEvent?.(event)
  }

  const refused = (event: TimedPacket, error: unknown) => {
    if (!everTaken || !isNotTaken(error)) throw error
    if (event.outgoing.transport === 'list') kept.push(event)
    else counters.lost++
  }

  /** Pushes what was kept; false when Redis still does not take it. */
  const pushKept = async (): Promise<boolean> => {
    for (const [key, events] of Map.groupBy(kept, (event) => event.outgoing.key)) {
      const packets = events.map(({ outgoing }) => outgoing.packet)
      let count = events.length
      try {
        await producer.pushAll(key, packets)
      } catch (error) {
        if (!isNotTaken(error)) throw error
        count = error.taken
      }
      const gone = new Set(events.slice(0, count))
      kept = kept.filter((event) => !gone.has(event))
      for (const event of gone) taken(event)
      if (count < events.length) return false
    }
    return true
  }

  /** Resolves when each is taken, lost or kept. @throws ProducerError when Redis takes nothing at the very first time. */
  const write = async (packets: readonly TimedPacket[]) => {
    const takes = kept.length === 0 || (await pushKept())
    const results = packets.map(async (event) => {
      // Behind what is kept: a list keeps its order.
      if (!takes && event.outgoing.transport === 'list') return void kept.push(event)
      const state = toPresentState(event.outgoing)
      // Before it is published, and lost with it: the next one is written over it.
      if (state !== undefined) void producer.keep(state).catch(() => undefined)
      try {
        await producer.send(event.outgoing)
      } catch (error) {
        return refused(event, error)
      }
      taken(event)
    })
    await Promise.all(results)
    counters.kept = kept.length
  }

  return { counters, write }
}

/** How often to look at the clock, ms. */
const LOOK_MS = 50
/** Time that went by without a look (a stall) is caught up with at this multiple of the speed, not in one burst. */
const CATCH_UP = 3

/** Where virtual time is. `speed`: virtual ms per real ms; `now`: a clock (ms) that only goes forward. */
export function createPace({ speed, now }: { readonly speed: number; readonly now: () => number }) {
  const startedAt = now()
  let lastLook = startedAt
  let virtualMs = 0
  return {
    /** Moves virtual time (ms) on to where it should be by now, and returns it. To be called at least every `LOOK_MS`. */
    look: (): number => {
      const at = now()
      const step = Math.min(at - lastLook, LOOK_MS) * speed * CATCH_UP
      lastLook = at
      virtualMs = Math.min((at - startedAt) * speed, virtualMs + step)
      return virtualMs
    },
    /** How long (real ms) until an instant of virtual time; 0 or less when it has come. */
    waitMs: (atMs: number): number => (atMs - virtualMs) / speed,
  }
}
