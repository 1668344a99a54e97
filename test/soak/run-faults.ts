import { createRandom, type Random } from '../../src/simulator/random.ts'
import { sleep } from '../../src/runtime/index.ts'
import type { SqsMode } from './cloud.ts'
import { TRACKS, type FaultKind, type Track } from './faults.ts'
import type { HandlerMode } from './functions.ts'
import type { Plan, PlannedFault } from './plan.ts'
import type { UpstashMode } from './read-model.ts'
import { redisEmpty } from './redis-empty.ts'
import { redisFaults } from './redis-faults.ts'
import type { HttpMode } from './server.ts'
import type { Street } from './street.ts'

/** Causes a fault. Resolves when it is over. The signal aborts when the run is stopped. */
export type FaultOf = (street: Street, fault: PlannedFault, random: Random, signal: AbortSignal) => Promise<void>

const sqsMode =
  (mode: SqsMode): FaultOf =>
  async ({ cloud }, { lastsMs }) => {
    cloud.state.mode = mode
    await sleep(lastsMs)
    cloud.state.mode = 'well'
  }
const httpMode =
  (mode: HttpMode): FaultOf =>
  async ({ server }, { lastsMs }) => {
    server.state.mode = mode
    await sleep(lastsMs)
    server.state.mode = 'well'
  }
const handlerMode =
  (mode: HandlerMode): FaultOf =>
  async ({ functions: { state } }, { lastsMs }, random) => {
    Object.assign(state, { mode, slice: random.whole(0, 9) })
    await sleep(lastsMs)
    state.mode = 'well'
  }
const upstashMode =
  (mode: UpstashMode): FaultOf =>
  async ({ model }, { lastsMs }) => {
    model.state.mode = mode
    await sleep(lastsMs)
    model.state.mode = 'well'
  }

/** 0.8 Mbit/s. */
const SLOW_LINK_BYTES = 100_000

const FAULTS: Readonly<Record<FaultKind, FaultOf>> = {
  ...redisFaults,
  'redis-empty': redisEmpty,
  'relay-kill': async ({ relays }, { lastsMs }) => {
    await relays.kill('first')
    await sleep(lastsMs)
    await relays.start('first')
  },
  'relay-term': async ({ relays }, { lastsMs }) => {
    await relays.term('first')
    await sleep(lastsMs)
    await relays.start('first')
  },
  'relay-second': async ({ relays }, { lastsMs }, random) => {
    await relays.start('second')
    await sleep(lastsMs)
    await (random.chance(0.7) ? relays.kill('second') : relays.term('second'))
  },
  'sqs-refuse': async ({ cloud: { proxy } }, { lastsMs }) => {
    proxy.state.refuse = true
    proxy.cut()
    await sleep(lastsMs)
    proxy.state.refuse = false
  },
  'sqs-cut': async ({ cloud: { proxy } }, { lastsMs }, random) => {
    const endMs = performance.now() + lastsMs
    while (performance.now() < endMs) {
      proxy.cut()
      await sleep(random.between(20, 200))
    }
  },
  'sqs-half-open': async ({ cloud: { proxy } }, { lastsMs }) => {
    proxy.state.halfOpen = true
    await sleep(lastsMs)
    proxy.state.halfOpen = false
  },
  'sqs-slow-link': async ({ cloud: { proxy } }, { lastsMs }) => {
    proxy.state.uplinkBytesPerSecond = SLOW_LINK_BYTES
    await sleep(lastsMs)
    proxy.state.uplinkBytesPerSecond = undefined
  },
  'sqs-500': sqsMode('500'),
  'sqs-throttle': sqsMode('throttle'),
  'sqs-hang': sqsMode('hang'),
  'sqs-lose': sqsMode('lose'),
  'sqs-failed': sqsMode('failed'),
  'sqs-credentials': sqsMode('credentials'),
  'sqs-slow': sqsMode('slow'),
  'sqs-stuck': sqsMode('stuck'),
  'handler-throw': handlerMode('throw'),
  'handler-hang': handlerMode('hang'),
  'handler-422': handlerMode('422'),
  'upstash-down': upstashMode('down'),
  'upstash-slow': upstashMode('slow'),
  'upstash-429': upstashMode('429'),
  'upstash-lose': upstashMode('lose'),
  'http-refused': async ({ server }, { lastsMs }) => {
    await server.close()
    await sleep(lastsMs)
    await server.listen()
  },
  'http-hang': httpMode('hang'),
  'http-500': httpMode('500'),
  'http-503': httpMode('503'),
  'http-answer-lost': httpMode('answer-lost'),
  'http-wrong-signature': httpMode('wrong-signature'),
  'http-slow': httpMode('slow'),
}

/** Faults that block other tracks besides their own. */
const ALONE: Partial<Record<FaultKind, readonly Track[]>> = { 'redis-empty': ['relay', 'sqs', 'http'] }

/**
 * Causes the planned faults at their times, with all tracks in parallel. Resolves when the last one is over. A fault is skipped if it had to
 * wait for another one until after the end of the plan.
 */
export async function runFaults(
  street: Street,
  { faults: planned, lastsMs }: Plan,
  signal: AbortSignal,
): Promise<void> {
  const startMs = performance.now()
  const tracks = new Map(TRACKS.map((track) => [track, createTurns()]))
  const make = async (fault: PlannedFault) => {
    if (performance.now() - startMs > lastsMs) return
    const happened = street.timeline.begin(fault.kind)
    try {
      await FAULTS[fault.kind](street, fault, createRandom(fault.seed), signal)
    } finally {
      street.timeline.end(happened)
      street.recovery.watch(happened)
    }
  }
  const runTrack = async (track: Track) => {
    for (const fault of planned.filter((one) => one.track === track)) {
      await sleep(Math.max(0, fault.atMs - (performance.now() - startMs)), signal)
      if (signal.aborted) return
      const needed = [track, ...(ALONE[fault.kind] ?? [])]
      await needed.reduceRight<() => Promise<void>>(
        (inner, one) => () => (tracks.get(one) as Turns)(inner),
        () => make(fault),
      )()
    }
  }
  await Promise.all(TRACKS.map(runTrack))
}

type Turns = (what: () => Promise<void>) => Promise<void>

/** Runs functions one after the other, in the order of the calls. */
function createTurns(): Turns {
  let last = Promise.resolve()
  return (what) => {
    const turn = last.then(what)
    last = turn.catch(() => undefined)
    return turn
  }
}
