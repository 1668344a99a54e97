import { ProducerError, toPresentState, type Producer } from '../producer/index.ts'
import { BASE_KEY } from '../protocol/index.ts'
import { sleep } from '../runtime/index.ts'
import { SimulatorError } from './random.ts'
import { createSchedule, type TimedPacket } from './schedule.ts'

/** The lists that the simulator pushes to. They grow unless a relay consumes them. */
export const SIMULATOR_LISTS = [`${BASE_KEY}:campaigns`, `${BASE_KEY}:cdr`, `${BASE_KEY}:inbound`] as const

/** The call centre to simulate. */
export type CallCentre = {
  /** How many agents work in campaigns, 1 to 100,000. */
  readonly agents: number
  /** Speed relative to real time, above 0. */
  readonly speed: number
  /** A whole number. The same seed gives the same packets. */
  readonly seed: number
}

/** Default call centre: 40 agents, about 5 packets a second, in real time, with seed 1. */
export type SimulatorOptions = Partial<CallCentre> & {
  readonly producer: Producer
  /** The Unix time (ms) of the start, from which `dialed_at` and the first `call_ref` are computed. Default: now. */
  readonly startMs?: number
  /** A monotonic clock (ms). Default `performance.now`. */
  readonly now?: () => number
  /** Called for each packet that Redis accepted. */
  readonly onEvent?: (event: TimedPacket) => void
}

/** The maximum number of packets in flight. */
const MAX_BATCH = 1_000

/**
 * Creates a simulated call centre that writes to a dialler's Redis. The packets depend only on `agents`, `seed`, `speed` and `startMs`;
 * `dialed_at` follows the real clock at any speed. Real time decides only when each packet is sent.
 *
 * @throws SimulatorError that names the invalid option
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
   * Runs until the signal aborts, then ends the day (agents go offline, campaigns stop) and resolves. During an outage of Redis it
   * behaves as a dialler does: packets for Pub/Sub are lost, and packets for lists are pushed later.
   *
   * @throws ProducerError if Redis does not accept the first packets
   */
  const run = async (signal: AbortSignal): Promise<void> => {
    const startMs = options.startMs ?? Date.now()
    const schedule = createSchedule({ agents, seed, toUnixMs: (atMs) => startMs + atMs / speed })
    const pace = createPace({ speed, now })
    let next = schedule.next()
    while (!signal.aborted) {
      const untilMs = pace.advance()
      const batch: TimedPacket[] = []
      for (; next.atMs <= untilMs && batch.length < MAX_BATCH; next = schedule.next()) batch.push(next)
      await writer.write(batch)
      if (next.atMs > untilMs) await sleep(Math.min(MAX_STEP_MS, Math.max(0, pace.waitMs(next.atMs))), signal)
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

/** Creates a writer. While Redis accepts nothing, it keeps packets for lists, as a dialler keeps backup files. */
function createWriter(producer: Producer, onEvent: SimulatorOptions['onEvent']) {
  /** Numbers of packets so far. */
  const counters = {
    /** Packets that Redis accepted by PUBLISH, with or without subscribers. */
    published: 0,
    /** Packets that Redis accepted by LPUSH. */
    pushed: 0,
    /** Packets for Pub/Sub that Redis did not accept. They are lost, as with a real dialler. */
    lost: 0,
    /** Packets for lists that Redis has not accepted yet. They are pushed later. */
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

  /** Pushes the kept packets. Returns false if Redis still does not accept them. */
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

  /** Resolves when each packet is accepted, lost or kept. @throws ProducerError if Redis does not accept the first packets */
  const write = async (packets: readonly TimedPacket[]) => {
    const takes = kept.length === 0 || (await pushKept())
    const results = packets.map(async (event) => {
      // The packet queues after the kept ones, so that the list keeps its order.
      if (!takes && event.outgoing.transport === 'list') return void kept.push(event)
      const state = toPresentState(event.outgoing)
      // The state is written before it is published. If this fails, the next state overwrites it.
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

/** The longest time between two readings of the clock, ms. */
const MAX_STEP_MS = 50
/** After a stall, virtual time catches up at this multiple of the speed, so that packets do not come in one burst. */
const CATCH_UP = 3

/** Creates the pace of virtual time. @param speed virtual ms per real ms. @param now a monotonic clock (ms) */
export function createPace({ speed, now }: { readonly speed: number; readonly now: () => number }) {
  const startedAt = now()
  let lastReading = startedAt
  let virtualMs = 0
  return {
    /** Advances virtual time to the present and returns it, ms. Must be called at least every `MAX_STEP_MS`. */
    advance: (): number => {
      const at = now()
      const step = Math.min(at - lastReading, MAX_STEP_MS) * speed * CATCH_UP
      lastReading = at
      virtualMs = Math.min((at - startedAt) * speed, virtualMs + step)
      return virtualMs
    },
    /** Returns the real time (ms) until an instant of virtual time: 0 or less if it has passed. */
    waitMs: (atMs: number): number => (atMs - virtualMs) / speed,
  }
}
