import { sleep, type Release } from '../../src/runtime/index.ts'
import type { SoakOptions } from './arguments.ts'
import { checkReadModel } from './check-read-model.ts'
import { startDialler } from './dialler.ts'
import { drain } from './drain.ts'
import type { Stream } from './packets.ts'
import type { Plan } from './plan.ts'
import { describeMemory, formatFaults, formatFigures, formatStreams } from './report.ts'
import { runFaults } from './run-faults.ts'
import { startStreet, type Street } from './street.ts'

export type SoakResult = { readonly broken: number; readonly lines: readonly string[] }

const TELL_MS = 10_000

/** The memory limit of a relay, including an outage of its target (docs/soak.md). */
const MOST_RSS_MB = 200

/** The maximum age of a claim when it is adopted: the lease, the interval of the check for claims of dead relays, and a margin for a slow machine. */
const ADOPTED_AFTER_MS = 120_000

/** Runs the plan on a new street, checks the arrivals, and resolves with the result. */
export async function runSoak(
  { seed }: SoakOptions,
  plan: Plan,
  release: Release,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<SoakResult> {
  const street = await startStreet(seed, plan.onHttp, release)
  const { broken, relays, checker, functions, model, state } = street
  const startMs = performance.now()
  const dialler = await startDialler({ seed, redis: street.redis, ledger: street.ledger, load: plan.load })
  state.dialler = dialler
  const done = new AbortController()
  const telling = tell(street, AbortSignal.any([signal, done.signal]), say)
  const faults = runFaults(street, plan, signal)
  await Promise.all([sleep(plan.lastsMs, signal), faults])
  await dialler.stop()
  const seconds = (performance.now() - startMs) / 1_000
  await drain(street, signal)
  done.abort()
  await telling
  if (signal.aborted) return { broken: 0, lines: ['ended early: nothing was checked'] }

  // A claim's number is the time of its take. A claim taken within `ADOPTED_AFTER_MS` before an adoption may have been adopted then.
  const mayBeLate = (n: number, stream: Stream) => {
    const takenMs = street.ledger[stream].numberOf(n)
    // The number of a Pub/Sub id is an epoch, which no relay adopts.
    return stream !== 'pubsub' && relays.adoptions.some((atMs) => takenMs <= atMs && takenMs > atMs - ADOPTED_AFTER_MS)
  }
  const counts = checker.finish(mayBeLate)
  functions.finish(mayBeLate)
  await checkReadModel(model, functions, broken)
  if (relays.figures.mostRssMb > MOST_RSS_MB)
    broken.add('memory', `a relay used ${describeMemory(street)}: more than ${MOST_RSS_MB} MB`)
  await relays.term('first')
  return {
    broken: broken.count,
    lines: [
      formatFaults(street),
      '',
      formatStreams(street),
      '',
      formatFigures(street, counts, seconds),
      '',
      ...broken.lines(),
    ],
  }
}

/** Prints a progress line every `TELL_MS`, and new violations. */
async function tell(
  { ledger, state, timeline, functions, broken }: Street,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  const startMs = performance.now()
  let told = 0
  while (!signal.aborted) {
    await sleep(TELL_MS, signal)
    if (signal.aborted) return
    const written = Object.values(ledger).reduce((sum, rows) => sum + rows.state.written, 0)
    const arrived = Object.values(ledger).reduce((sum, rows) => sum + rows.state.arrived, 0)
    const faults = timeline.happened.length
    say(
      `${((performance.now() - startMs) / 1_000).toFixed(0)} s: ${written} written, ${arrived} arrived, ${state.accepted - arrived} copies and notices, ${functions.pending} messages before functions, ${faults} faults, ${broken.count} broken`,
    )
    if (broken.count > told) for (const line of broken.lines()) say(`  ${line}`)
    told = broken.count
  }
}
