import { createRelay, type Relay, type RelayOptions } from '../../relay/index.ts'
import { sleep } from '../../runtime/index.ts'
import type { Crew } from './crew.ts'

/** How long (ms) to wait for a relay that cannot be ready, for instance because the dialler is not there. It goes on by itself. */
const READY_MS = 3_000

/** Starts the relay in this process; resolves when it hears and takes, so that nothing which is written now is missed. */
export async function startRelay(
  options: Pick<RelayOptions, 'config' | 'routes' | 'log'>,
  crew: Crew,
): Promise<{ relay: Relay; url: string }> {
  const listening = Promise.withResolvers<string>()
  const relay = createRelay({ ...options, onListening: listening.resolve })
  crew.add((signal) => relay.run(signal))
  const url = await Promise.race([listening.promise, crew.failed])
  const until = performance.now() + READY_MS
  while (performance.now() < until && !(await isReady(url))) await sleep(20)
  return { relay, url }
}

async function isReady(url: string): Promise<boolean> {
  return (await fetch(`${url}/readyz`)).ok
}
