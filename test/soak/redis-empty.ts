import { claimsKey } from '../../src/relay/redis/relay-keys.ts'
import { sleep } from '../../src/runtime/index.ts'
import { waitFor } from '../support/relay.ts'
import { readKept, readParked } from './kept.ts'
import { ARRIVED, MAYBE_LOST, PARKED } from './ledger.ts'
import { LIST_OF, readMark, type Stream } from './packets.ts'
import type { FaultOf } from './run-faults.ts'
import type { RelayName } from './relays.ts'
import type { Street } from './street.ts'

/** How long the targets take nothing before, so that the relays have something in memory. */
const GATHER_MS = 1_500

/** An answer may have been on its way for so long when Redis died. */
const ON_THE_WAY_MS = 1_000

/** Until a relay is seen to know all of its claims, or to have written them back. */
const KNOWN_MS = 10_000

/** Until what must arrive has arrived, also on a slow machine. */
const ARRIVAL_MS = 120_000

/**
 * Redis killed and back empty. What nobody had taken is gone, and so is a claim that no relay has in memory. The rule: a claim must
 * arrive all the same when it was taken by a relay that still runs, since it was ready, and a second or more before the end; the
 * first relay's own list only, since it may have adopted claims of the other one. So nothing else may go wrong until it has arrived:
 * this fault has the tracks of relays, SQS and HTTP to itself. But half of the times the relay is killed while the targets still take
 * nothing, as soon as it has written its claims back.
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
  // What functions finish now would be in no claim any more.
  await waitFor(() => server.state.running === 0, 'the functions behind HTTP to be done', KNOWN_MS)
  // A claim of which the answer was cut is in Redis only, until the relay has looked again. None is deleted meanwhile: as many are the same ones.
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
  /** The claims that hold them. */
  const held = new Set<string>()
  await redis.empty(async (former) => {
    for (const { event, reason } of await readParked(former)) checker.park(event, reason)
    const { untaken, claims } = await readKept(former)
    for (const item of untaken) lose(street, item)
    for (const { relay, number, list, takenMs, items, ids } of claims) {
      const isHeld =
        isKnown && list === LIST_OF.main && takenMs > readySince(street, relay) && takenMs < endedMs - ON_THE_WAY_MS
      // Some may have been announced as parked, and not be aside yet.
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
    // Each by its number: it takes new ones meanwhile, so that as many are not the same ones.
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
