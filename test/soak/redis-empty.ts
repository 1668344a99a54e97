import { claimsKey } from '../../src/relay/redis/relay-keys.ts'
import { sleep } from '../../src/runtime/index.ts'
import { waitFor } from '../support/relay.ts'
import { readKept, readParked } from './kept.ts'
import { ARRIVED, MAYBE_LOST, PARKED } from './ledger.ts'
import { LIST_OF, readMark, type Stream } from './packets.ts'
import type { FaultOf } from './run-faults.ts'
import type { RelayName } from './relays.ts'
import type { Street } from './street.ts'

/** How long the targets accept nothing before Redis is killed, so that the relays have items in memory. */
const GATHER_MS = 1_500

/** The maximum time for which a reply may have been under way when Redis died. */
const ON_THE_WAY_MS = 1_000

/** The time limit for a relay to know all of its claims, or to write them back. */
const KNOWN_MS = 10_000

/** The time limit for all required arrivals, with a margin for a slow machine. */
const ARRIVAL_MS = 120_000

/**
 * Kills Redis and restarts it empty. Items that no relay had taken are lost, and so are claims that no relay has in memory. A claim must
 * still arrive if its relay is running, and took it after becoming ready and at least a second before the kill. This holds only for the
 * list that the first relay does not share, because a relay may have adopted claims of a shared list. No other fault may disturb the
 * arrival, so this one also blocks the tracks of relays, SQS and HTTP. In half of the cases, however, the relay is killed as soon as it
 * has written its claims back, while the targets still accept nothing.
 */
export const redisEmpty: FaultOf = async (street, { lastsMs }, random, signal) => {
  const { client, redis, relays, cloud, server, ledger, checker, broken } = street
  const first = relays.get('first')
  await waitFor(
    () => first?.readyMs !== undefined || first?.isRunning() !== true,
    'the first relay to be ready',
    60_000,
  )
  cloud.state.mode = '500'
  server.state.mode = '500'
  await sleep(GATHER_MS)
  // Notifications that functions finish from now on would no longer be in a claim.
  await waitFor(() => server.state.running === 0, 'the functions behind HTTP to be done', KNOWN_MS)
  // If the reply to a take was cut, its claim is only in Redis until the relay adopts it. No claim is deleted meanwhile, so equal counts suffice.
  const knowsAll = async () =>
    (await first?.metric('claims')) ===
    (await client.hKeys(claimsKey('first'))).filter((field) => /^\d+$/.test(field)).length
  const isKnown = await waitFor(() => knowsAll().catch(() => false), 'the relay to know its claims', KNOWN_MS).then(
    () => true,
    () => false,
  )
  const endedMs = Date.now()
  await redis.end('SIGKILL')
  const mustArrive: [Stream, number][] = []
  /** The claims that hold items which must arrive. */
  const held = new Set<string>()
  await redis.empty(async (former) => {
    for (const { event, reason } of await readParked(former)) checker.park(event, reason)
    const { untaken, claims } = await readKept(former)
    for (const item of untaken) lose(street, item)
    for (const { relay, number, list, takenMs, items, ids } of claims) {
      const isHeld =
        isKnown && list === LIST_OF.main && takenMs > readySince(street, relay) && takenMs < endedMs - ON_THE_WAY_MS
      // Some may have been announced as parked but not yet moved to the parked list.
      if (!isHeld) for (const id of ids) street.state.lostIds.add(id)
      for (const item of items) {
        const mark = readMark(item)
        if (isHeld && mark !== undefined) mustArrive.push([mark.stream, mark.n])
        else lose(street, item)
        if (isHeld && mark !== undefined && !ledger[mark.stream].has(mark.n, ARRIVED)) held.add(number)
      }
    }
  })
  street.state.dialler?.emptied()
  await sleep(lastsMs)
  await redis.start()
  if (random.chance(0.5) && mustArrive.length > 0) {
    // Compares claim numbers, not counts, because the relay takes new claims meanwhile.
    const isWritten = async () => {
      const written = new Set(await client.hKeys(claimsKey('first')))
      return [...held].every((number) => written.has(number))
    }
    await waitFor(() => isWritten().catch(() => false), 'the claims to be written back', KNOWN_MS).then(
      async () => {
        await relays.kill('first')
        await relays.start('first')
        street.state.killedWhenEmptied++
      },
      () =>
        broken.add('G1 lists', `the relay had not written its claims back ${KNOWN_MS} ms after Redis came back empty`),
    )
  }
  cloud.state.mode = 'well'
  server.state.mode = 'well'
  street.state.heldWhenEmptied += mustArrive.length
  const missing = () =>
    mustArrive.filter(([stream, n]) => !ledger[stream].has(n, ARRIVED) && !ledger[stream].has(n, PARKED))
  const isThere = async () => {
    for (const { event, reason } of await readParked(client).catch(() => [])) checker.park(event, reason)
    return signal.aborted || missing().length === 0
  }
  await waitFor(isThere, 'what the relay had in memory', ARRIVAL_MS).catch(async () => {
    const late = missing()
    const last = relays.get('first')
    const inMemory = await last?.metric('held').catch(() => 'unknown')
    broken.add(
      'G1 lists',
      `${late.length} of ${mustArrive.length} that the relay had when Redis was emptied had not come after ${ARRIVAL_MS} ms, from ${late[0]?.join(' ')} on; it holds ${inMemory}, and ${last === first ? 'has run since' : 'was killed since'}`,
    )
  })
}

const readySince = ({ relays }: Street, relay: RelayName): number => relays.get(relay)?.readyMs ?? Infinity

function lose({ ledger }: Street, item: string): void {
  const mark = readMark(item)
  if (mark !== undefined) ledger[mark.stream].set(mark.n, MAYBE_LOST)
}
