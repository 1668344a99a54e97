import { createClient } from 'redis'
import { startRedisServer } from '../src/local/servers.ts'
import { startUpstashProxy } from '../src/local/upstash-proxy.ts'
import { sleep, type Release } from '../src/runtime/index.ts'
import { agentCall, agentStatus, cdr, createStore, type Effect } from '../src/store/index.ts'
import { toBill, type Bill } from './bill.ts'
import { startCallCentre } from './call-centre.ts'
import { countCommands } from './read-model.ts'
import { readCdr, toEvent } from './load.ts'

/** Requests, invocations and commands of a simulated call centre. */
export type PriceFigures = {
  readonly agents: number
  readonly seconds: number
  readonly notifications: number
  /** Commands of the read model, including those inside scripts, as Upstash counts them. */
  readonly commands: number
  /** `SendMessageBatch` requests of the relay. */
  readonly sends: number
  readonly invocations: number
  readonly queues: number
  /** The size of the data in the read model at the end. */
  readonly bytes: number
}

/** Commands per notification of one kind: in a separate commit, and in commits of 50. */
export type KindFigures = { readonly kind: string; readonly alone: number; readonly inPacks: number }

export type Price = {
  readonly centre: PriceFigures
  readonly kinds: readonly KindFigures[]
  /** Commands for the largest page of `GET /agents`, with 2,000 agents. */
  readonly agentsPage: number
  /** Bytes that a CDR of 420 bytes uses, including its indexes. */
  readonly cdrBytes: number
  /** The monthly bill by these figures. */
  readonly bill: Bill
}

const TOKEN = 'bench'
/** Notifications per measurement: two for each of the 200 agents. */
const MEASURED = 400
const PACK = 50
const AGENTS_READ = 2_000
/** The largest page. */
const PAGE = 500
const CDRS_WEIGHED = 20_000
/** Matches the keys of CDRs, of their indexes and of their counts. */
const OF_CDRS = /^enigma:(?:cdrs?:|figures:|quarters$)/

/** Measures all figures of `Price`. @param seconds how long the call centre is measured, after an equal time in which its agents log in */
export async function measurePrice(
  release: Release,
  signal: AbortSignal,
  { agents, seconds }: { readonly agents: number; readonly seconds: number },
): Promise<Price> {
  const model = await startModel(release)
  const kinds = []
  for (const [kind, toEffect] of Object.entries(KINDS)) {
    kinds.push({ kind, alone: await model.price(toEffect, 1), inPacks: await model.price(toEffect, PACK) })
    signal.throwIfAborted()
  }
  const agentsPage = await model.priceAgents()
  const cdrBytes = await model.weighCdrs()
  const centre = await playCentre(release, signal, agents, seconds)
  const { notifications, sends, invocations, commands, queues } = centre
  const each = {
    sends: sends / notifications,
    invocations: invocations / notifications,
    commands: commands / notifications,
  }
  return { kinds, agentsPage, cdrBytes, centre, bill: toBill(agents, each, cdrBytes, queues) }
}

const START_MS = Date.now() - 60_000
let count = 0
/** Creates an event, 10 ms later than the previous one. The first one is a minute old. */
function next<P>(type: string, subType: string, reference: string | undefined, payload: P) {
  const index = ++count
  return toEvent(type, subType, reference, payload, { epoch: START_MS, index, timeMs: START_MS + index * 10 })
}

const toAgent = (index: number) => String(1_000 + (index % 200))
const toCall = (index: number): Effect =>
  agentCall(
    next('agents', 'call', toAgent(index), { ref: toAgent(index), call_ref: `c${index}`, number: '27821234567' }),
  )
const toStatus = (index: number): Effect =>
  agentStatus(
    next('agents', 'status', toAgent(index), {
      ref: toAgent(index),
      status: ['busy', 'wrapup', 'available'][Math.floor(index / 200) % 3] as string,
      campaign_ref: String(index % 20),
    }),
  )
/** Creates the effect of a CDR. Each CDR is of a different call. */
function toCdrEffect(index: number): Effect {
  const payload = readCdr(index)
  // A CDR without an agent is of a call that no agent received, so no agents/call may have its call_ref.
  const call_ref = `${payload.extension === null ? 'u' : 'c'}${index}`
  const own = { ...payload, call_ref, ref: String(index % 20), dialed_at: Math.floor(START_MS / 1_000) - (index % 200) }
  return cdr(next('campaigns', 'cdr', undefined, own))
}
const KINDS = { 'agents/status': toStatus, 'agents/call': toCall, 'campaigns/cdr': toCdrEffect }

/** Starts a read model, and returns functions that measure its commands and its size. */
async function startModel(release: Release) {
  const redis = await startRedisServer()
  release(redis.stop)
  const client = await createClient({ url: redis.url, RESP: 2 }).connect()
  release(() => client.destroy())
  const proxy = await startUpstashProxy({ redisUrl: redis.url, token: TOKEN })
  release(() => proxy.stop())
  const store = createStore({ url: proxy.url, token: TOKEN })
  let index = 0
  const commit = (effects: readonly Effect[]) => store.commit({ effects, done: new Map() })
  const countOf = async (work: () => Promise<void>): Promise<number> => {
    const before = countCommands(await client.info('commandstats'))
    await work()
    return countCommands(await client.info('commandstats')) - before
  }
  return {
    /** Returns the commands per notification of a kind, in commits of `size`, after the work that is done only once an hour. */
    price: async (toEffect: (index: number) => Effect, size: number): Promise<number> => {
      const make = (length: number) => Array.from({ length }, () => toEffect(index++))
      await commit(make(MEASURED))
      const commands = await countOf(async () => {
        for (let done = 0; done < MEASURED; done += size) await commit(make(size))
      })
      return commands / MEASURED
    },
    priceAgents: async (): Promise<number> => {
      await commit(
        Array.from({ length: AGENTS_READ }, (_, at) =>
          agentStatus(next('agents', 'status', String(5_000 + at), { status: 'available', campaign_ref: '1' })),
        ),
      )
      return countOf(async () => {
        await store.read.agents({ limit: PAGE })
      })
    },
    weighCdrs: async (): Promise<number> => {
      await client.flushDb()
      for (let from = 0; from < CDRS_WEIGHED; from += PACK)
        await commit(Array.from({ length: PACK }, (_, at) => toCdrEffect(10_000 + from + at)))
      let bytes = 0
      for await (const keys of client.scanIterator({ MATCH: 'enigma:*', COUNT: 1_000 })) {
        const own = keys.filter((key) => OF_CDRS.test(key))
        const usages = await Promise.all(own.map((key) => client.memoryUsage(key, { SAMPLES: 0 })))
        bytes += usages.reduce<number>((sum, usage) => sum + (usage ?? 0), 0)
      }
      return bytes / CDRS_WEIGHED
    },
  }
}

/** Simulates a call centre in real time on a whole street. */
async function playCentre(
  release: Release,
  signal: AbortSignal,
  agents: number,
  seconds: number,
): Promise<PriceFigures> {
  // Routes linger, as on AWS. With `none`, the figures show what lingering saves.
  process.env['ENIGMA_LINGER'] ??= 'routes'
  const street = await startCallCentre(release, agents)
  const ask = async (...command: string[]): Promise<string> => {
    const response = await fetch(street.readModel.url, {
      method: 'POST',
      headers: { authorization: `Bearer ${street.readModel.token}` },
      body: JSON.stringify(command),
    })
    return String(((await response.json()) as { result: unknown }).result)
  }
  const read = async () => {
    const { routes, sends, invocations } = await street.readFigures()
    const notifications = routes.reduce((sum, { handled }) => sum + handled, 0)
    return {
      notifications,
      sends,
      invocations,
      queues: routes.length,
      commands: countCommands(await ask('INFO', 'commandstats')),
    }
  }
  await sleep(seconds * 1_000, signal)
  const before = await read()
  await sleep(seconds * 1_000, signal)
  const after = await read()
  const bytes = Number(/^used_memory_dataset:(\d+)/m.exec(await ask('INFO', 'memory'))?.[1])
  return {
    agents,
    seconds,
    notifications: after.notifications - before.notifications,
    commands: after.commands - before.commands,
    sends: after.sends - before.sends,
    invocations: after.invocations - before.invocations,
    queues: after.queues,
    bytes,
  }
}
