import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Notification, type RelayGap, type RelayParked } from '../../src/protocol/index.ts'
import type { Release } from '../../src/runtime/index.ts'
import type { AcceptedEntry } from '../support/sqs-faults.ts'
import { createBroken } from './broken.ts'
import { createChecker } from './checker.ts'
import { startCloud } from './cloud.ts'
import type { Dialler } from './dialler.ts'
import { startDiallerRedis } from './dialler-redis.ts'
import { createFunctions } from './functions.ts'
import { createLedger } from './ledger.ts'
import { startReadModel } from './read-model.ts'
import { createRecovery } from './recovery.ts'
import { createRelays } from './relays.ts'
import { startServer } from './server.ts'
import type { Plan } from './plan.ts'
import { createTimeline } from './timeline.ts'

/** Starts the street of a soak without its dialler and without faults. `release` registers stop functions, which run in reverse order. */
export async function startStreet(seed: number, onHttp: Plan['onHttp'], release: Release) {
  const startMs = Date.now()
  const folder = await mkdtemp(join(tmpdir(), 'enigma-soak-'))
  release(() => rm(folder, { recursive: true, force: true }))
  const [broken, ledger, timeline] = [createBroken(), createLedger(), createTimeline(startMs)]
  const recovery = createRecovery({ ledger, timeline })
  const checker = createChecker({
    seed,
    ledger,
    broken,
    describe: (atMs) => timeline.describe(atMs),
    onFirst: (stream, n, atMs) => recovery.arrived(stream, n, atMs),
  })
  const model = await startReadModel(seed + 1, release)
  const functions = await createFunctions({ seed, ledger, broken, model })
  const state = {
    accepted: 0,
    lastAcceptedMs: 0,
    heldWhenEmptied: 0,
    killedWhenEmptied: 0,
    parkedNotices: new Set<string>(),
    lostIds: new Set<string>(),
    dialler: undefined as Dialler | undefined,
  }

  const readNotice = ({ type, data }: Notification) => {
    const { payload } = JSON.parse(String(data)) as { payload: RelayGap & RelayParked }
    if (type === 'enigma.relay.gap')
      checker.gaps.push({ fromMs: Date.parse(payload.from), toMs: Date.parse(payload.to) })
    else if (payload.state === 'parked') state.parkedNotices.add(payload.id)
  }
  const accept = (queue: string, events: readonly Notification[]) => {
    const nowMs = Date.now()
    state.lastAcceptedMs = nowMs
    for (const event of events) {
      state.accepted++
      checker.arrive(queue, event, nowMs)
      if (event.transport === 'relay') readNotice(event)
    }
  }
  const onAccepted = (entry: AcceptedEntry, events: readonly Notification[]) => {
    accept(entry.queue, events)
    functions.feed(entry, events)
  }
  const cloud = await startCloud({ seed: seed + 2, onAccepted })
  release(() => cloud.stop())
  const server = await startServer({ seed: seed + 3, onHttp, functions, onFinished: accept })
  release(() => server.stop())
  await mkdir(join(folder, 'redis'))
  const redis = await startDiallerRedis(join(folder, 'redis'))
  release(() => redis.stop())
  const client = await redis.connect()
  const relays = createRelays({
    redisPort: redis.proxy.port,
    endpoint: cloud.endpoint,
    env: server.env,
    folder,
    broken,
  })
  release(() => relays.stop())
  await relays.start('first')
  // The first start of a relay has no earlier time to announce a gap from, so nothing is written until the relay is subscribed.
  await relays.get('first')?.ready()
  return {
    seed,
    broken,
    ledger,
    timeline,
    recovery,
    checker,
    model,
    functions,
    cloud,
    server,
    redis,
    client,
    relays,
    state,
  }
}

export type Street = Awaited<ReturnType<typeof startStreet>>
