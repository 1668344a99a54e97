import { sleep } from '../../src/runtime/index.ts'
import { countKept, readParked } from './kept.ts'
import { STREAMS } from './packets.ts'
import type { Street } from './street.ts'

/** The maximum time without an arrival: more than a lease (10 s), the check for dead relays (5 s), and a request that is never answered. */
const LIMIT_MS = 120_000
const QUIET_MS = 1_500

/** Waits, after the last fault, until nothing is under way. Reports anything that is still under way after `LIMIT_MS` as broken. */
export async function drain(street: Street, signal: AbortSignal): Promise<void> {
  const { client, functions, broken, state, checker, ledger } = street
  // The limit restarts with each arrival: a backlog behind HTTP takes as long as its functions need.
  const progress = { arrived: 0, atMs: performance.now() }
  let left: Record<string, number> = {}
  while (!signal.aborted) {
    left = await countLeft(street).catch((error: unknown) => ({ [`not to be asked: ${String(error)}`]: 1 }))
    if (
      Object.values(left).every((count) => count === 0) &&
      Date.now() - state.lastAcceptedMs > QUIET_MS &&
      functions.pending === 0
    )
      break
    const arrived = STREAMS.reduce((sum, stream) => sum + ledger[stream].state.arrived, 0)
    if (arrived > progress.arrived) Object.assign(progress, { arrived, atMs: performance.now() })
    if (performance.now() > progress.atMs + LIMIT_MS) {
      broken.add(
        'G1 lists',
        `${LIMIT_MS} ms after the last arrival there is still on its way: ${JSON.stringify({ ...left, functions: functions.pending })}`,
      )
      break
    }
    await sleep(250, signal)
  }
  for (const { event, reason } of await readParked(client)) checker.park(event, reason)
  for (const id of checker.parked)
    if (!state.parkedNotices.has(id)) broken.add('G5 parked', `${id} is parked, and nobody was told`)
  for (const id of state.parkedNotices)
    if (!checker.parked.has(id) && !state.lostIds.has(id))
      broken.add('G5 parked', `${id} was announced as parked, and is not in the list`)
}

async function countLeft({ client, relays }: Street): Promise<Record<string, number>> {
  const first = relays.get('first')
  if (first === undefined) return { 'relays that run': -1 }
  // A relay that is not ready may have an open gap, which it announces only when the gap ends.
  const unready = Object.values((await first.readiness()).parts).filter(({ ok }) => !ok).length
  const [kept, held, rows] = await Promise.all([countKept(client), first.metric('held'), first.metric('journal_rows')])
  return { 'parts that are not ready': unready, 'in Redis': kept, 'in memory': held, 'in the journal': rows }
}
