import { StreetError } from '../errors.ts'
import type { Producer } from '../../producer/index.ts'
import { BASE_KEY } from '../../protocol/index.ts'
import { sleep } from '../../runtime/index.ts'
import { createPace, LOOK_MS } from './pace.ts'
import { createSchedule, type TimedPacket } from './schedule.ts'
import { createWriter, type SimulatorCounters } from './writer.ts'

/** The lists that the simulator pushes to: a relay that does not take them lets them grow. */
export const SIMULATOR_LISTS = [`${BASE_KEY}:campaigns`, `${BASE_KEY}:cdr`, `${BASE_KEY}:inbound`] as const

export type SimulatorOptions = {
  readonly producer: Producer
  /** How many agents work in campaigns, 1 to 100,000. Default 40: about 5 packets a second. */
  readonly agents?: number
  /** How much faster than real time, above 0. Default 1. */
  readonly speed?: number
  /** A whole number; the same one gives the same packets. Default 1. */
  readonly seed?: number
  /** The unix time (ms) of the start, which `dialed_at` and the first `call_ref` are made of. Default: now. */
  readonly startMs?: number
  /** A clock (ms) that only goes forward. Default `performance.now`. */
  readonly now?: () => number
  /** Called for each packet when Redis has taken it. */
  readonly onEvent?: (event: TimedPacket) => void
}

/** A call centre that is played on a dialler's Redis. */
export type Simulator = {
  /**
   * Plays until the signal aborts, then ends the day (agents go offline, campaigns stop) and resolves. Outages of Redis are
   * borne as a dialler bears them: PubSub is lost, lists are pushed later.
   *
   * @throws ProducerError when Redis does not take the first packets.
   */
  run: (signal: AbortSignal) => Promise<void>
  /** What has been written so far; updated while it runs. */
  readonly counters: Readonly<SimulatorCounters>
}

/** Most packets in flight at once. */
const BATCH = 1_000

/**
 * The packets are a function of `agents`, `seed`, `speed` and `startMs` alone (`dialed_at` follows the real clock, whatever the
 * speed); real time decides only when each is sent.
 *
 * @throws RangeError that names the option which cannot be used.
 * @example
 * const producer = createProducer({ url: 'redis://127.0.0.1:8001' })
 * const simulator = createSimulator({ producer, agents: 100, speed: 2 })
 * await simulator.run(AbortSignal.timeout(60_000))
 * console.log(simulator.counters)
 * await producer.close()
 */
export function createSimulator(options: SimulatorOptions): Simulator {
  const { producer, agents = 40, speed = 1, seed = 1, now = () => performance.now(), onEvent } = options
  check(
    'agents',
    agents,
    Number.isInteger(agents) && agents >= 1 && agents <= 100_000,
    'a whole number from 1 to 100,000',
  )
  check('speed', speed, Number.isFinite(speed) && speed > 0, 'a number above 0')
  check('seed', seed, Number.isSafeInteger(seed), 'a whole number')
  const writer = createWriter({ producer, onEvent })

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

  return { run, counters: writer.counters }
}

function check(name: string, value: number, good: boolean, wanted: string): void {
  if (!good) throw new StreetError('dev.simulator.invalid', `${name} must be ${wanted}, not ${value}`)
}
