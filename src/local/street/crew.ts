import { createProducer } from '../../producer/index.ts'
import { createRelay, type Relay, type RelayOptions } from '../../relay/index.ts'
import { sleep, type Release } from '../../runtime/index.ts'
import { createSimulator, type CallCentre } from '../../simulator/simulator.ts'

/** Something of the street that runs, for the line that says so. */
export type Part = {
  readonly name: string
  /** Never with a password in it. */
  readonly address: string
  readonly note?: string
}

/** What runs in the background of the street. */
export function createCrew(release: Release) {
  const failure = Promise.withResolvers<never>()
  // Whoever does not listen any more has heard why it ended.
  failure.promise.catch(() => undefined)
  return {
    /** Rejects when one of them fails; never resolves. */
    failed: failure.promise,
    /** Starts it. It is stopped in its turn, the last one first, and awaited. */
    add: (run: (signal: AbortSignal) => Promise<void>): void => {
      const end = new AbortController()
      const running = run(end.signal)
      running.catch(failure.reject)
      release(async () => {
        end.abort()
        // Its error has been told by `failed`.
        await running.catch(() => undefined)
      })
    },
  }
}

export type Crew = ReturnType<typeof createCrew>

/** How long (ms) to wait for a relay that cannot be ready, for instance because the dialler is not there. It goes on by itself. */
const READY_MS = 3_000

/** Starts the relay in this process; resolves when it hears and takes, so that nothing which is written now is missed. */
export async function startRelay(options: RelayOptions, crew: Crew): Promise<{ relay: Relay; url: string }> {
  const listening = Promise.withResolvers<string>()
  const relay = createRelay({ ...options, onListening: listening.resolve })
  crew.add((signal) => relay.run(signal))
  const url = await Promise.race([listening.promise, crew.failed])
  const until = performance.now() + READY_MS
  while (performance.now() < until && !(await fetch(`${url}/readyz`)).ok) await sleep(20)
  return { relay, url }
}

/** Plays the call centre on the dialler's Redis. */
export function startCallCentre(callCentre: CallCentre, url: string, crew: Crew): Part {
  const { agents, speed, seed } = callCentre
  crew.add(async (signal) => {
    const producer = createProducer({ url })
    try {
      await createSimulator({ producer, ...callCentre }).run(signal)
    } finally {
      await producer.close()
    }
  })
  const pace = speed === 1 ? 'real time' : `${speed} times real time`
  return { name: 'call centre', address: 'played', note: `${agents} agents, ${pace}, seed ${seed}` }
}
