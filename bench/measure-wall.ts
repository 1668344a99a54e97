import { gzipSync } from 'node:zlib'
import { createApi } from '../src/api/index.ts'
import { createAdaptorServer } from '@hono/node-server'
import type { Server } from 'node:http'
import { listen } from '../src/local/servers.ts'
import type { Release } from '../src/runtime/index.ts'
import { createRandom } from '../src/simulator/random.ts'
import { agentCall, agentStatus, campaignStatus, cdr, createStore, type Effect } from '../src/store/index.ts'
import { countCommands, startReadModel, TOKEN } from './read-model.ts'
import { readCdr, toEvent } from './load.ts'
import { median } from './results.ts'

/** The cost of `GET /wall` in one situation. All figures except `p99Ms` are medians. */
export type WallRow = {
  readonly name: string
  readonly reads: number
  readonly ms: number
  readonly p99Ms: number
  /** Requests to the read model, its commands as Upstash counts them, and the size of requests and replies in kB (1,000 bytes). */
  readonly requests: number
  readonly commands: number
  readonly kilobytes: number
}

export type WallFigures = {
  readonly agents: number
  /** The size of the answer in kB, uncompressed and gzipped. */
  readonly kilobytes: number
  readonly gzippedKilobytes: number
  readonly rows: readonly WallRow[]
}

const CAMPAIGNS = 20
/** Changes per second of a call centre of 2,000 agents, and how often (s) a console polls. */
const CHANGES = 266
const EVERY_SECONDS = 2
/** Notifications per commit of a function. */
const PACK = 4
const FILL = 50
/** Earlier calls per agent. */
const CALLS_BEFORE = 3

/**
 * Creates agents with calls, and CDRs of today, then requests the wall over HTTP: from a new process, after two seconds with and without changes,
 * after five minutes, when the API reads everything again, and within a second of another request.
 */
export async function measureWall(
  release: Release,
  signal: AbortSignal,
  { agents, cdrs, reads }: { readonly agents: number; readonly cdrs: number; readonly reads: number },
): Promise<WallFigures> {
  const { client, proxy } = await startReadModel(release, true)
  // A simulated clock, so that the bench need not wait.
  let nowMs = Date.now()
  const now = () => nowMs
  const store = createStore({ url: proxy.url, token: TOKEN, now })
  const play = createPlay(agents, now)
  const commit = async (effects: readonly Effect[], size: number) => {
    for (let at = 0; at < effects.length; at += size)
      await store.commit({ effects: effects.slice(at, at + size), done: new Map() })
    signal.throwIfAborted()
  }
  await commit([...play.begin(cdrs)], FILL)

  const openApi = () => {
    const { read } = createStore({ url: proxy.url, token: TOKEN, now })
    const { fetch: answerTo } = createApi({ read, token: TOKEN, now })
    return listen(createAdaptorServer({ fetch: answerTo }) as Server)
  }
  let api = await openApi()
  release(() => api.stop())
  let answer = ''
  const ask = async () => {
    const { requests, requestBytes, replyBytes } = proxy.seen
    const before = countCommands(await client.info('commandstats'))
    const startMs = performance.now()
    const response = await fetch(`${api.url}/wall`, { headers: { authorization: `Bearer ${TOKEN}` } })
    answer = await response.text()
    const ms = performance.now() - startMs
    if (response.status !== 200) throw new Error(`GET /wall answered ${response.status}: ${answer}`)
    return {
      ms,
      requests: proxy.seen.requests - requests,
      commands: countCommands(await client.info('commandstats')) - before,
      kilobytes: (proxy.seen.requestBytes - requestBytes + proxy.seen.replyBytes - replyBytes) / 1_000,
    }
  }
  const measure = async (name: string, times: number, prepare: () => Promise<unknown>): Promise<WallRow> => {
    const all: Awaited<ReturnType<typeof ask>>[] = []
    for (let n = 0; n < times; n++) {
      await prepare()
      all.push(await ask())
      signal.throwIfAborted()
    }
    const of = (figure: keyof (typeof all)[number]) => all.map((one) => one[figure])
    const sorted = of('ms').toSorted((a, b) => a - b)
    return {
      name,
      reads: times,
      ms: median(sorted),
      p99Ms: sorted[Math.min(times - 1, Math.floor(times * 0.99))] ?? 0,
      requests: median(of('requests')),
      commands: median(of('commands')),
      kilobytes: median(of('kilobytes')),
    }
  }
  const pass = async (seconds: number, changes: number) => {
    nowMs += seconds * 1_000
    await commit([...play.go(changes)], PACK)
  }
  const rows: WallRow[] = []
  const first = await measure('a new process', Math.ceil(reads / 6), async () => {
    await api.stop()
    api = await openApi()
  })
  const sizes = { kilobytes: answer.length / 1_000, gzippedKilobytes: gzipSync(answer).length / 1_000 }
  rows.push(first)
  rows.push(await measure('nothing has changed', reads, () => pass(EVERY_SECONDS, 0)))
  rows.push(await measure('2 s of 20 changes/s', reads, () => pass(EVERY_SECONDS, EVERY_SECONDS * 20)))
  rows.push(await measure(`2 s of ${CHANGES} changes/s`, reads, () => pass(EVERY_SECONDS, EVERY_SECONDS * CHANGES)))
  rows.push(await measure('full read, every five minutes', Math.ceil(reads / 6), () => pass(301, 10)))
  rows.push(await measure('within a second of another request', reads, async () => undefined))
  return { agents, ...sizes, rows }
}

/** Creates the effects of a call centre: each agent has a call, ends it, waits, and has the next one. */
function createPlay(agents: number, now: () => number) {
  const random = createRandom(1)
  const epoch = now()
  let index = 0
  const next = <P>(type: string, subType: string, reference: string | undefined, payload: P) =>
    toEvent(type, subType, reference, payload, { epoch, index: ++index, timeMs: now() })
  const refOf = (agent: number) => String(1_000 + agent)
  const campaignOf = (agent: number) => String(agent % CAMPAIGNS)
  const calls = new Map<number, number>()
  /** The next step of each agent: 0 begins a call, 1 ends it, 2 waits for the next one. */
  const turns = new Map<number, number>()
  const status = (agent: number, word: string) =>
    agentStatus(
      next('agents', 'status', refOf(agent), { ref: refOf(agent), status: word, campaign_ref: campaignOf(agent) }),
    )
  const call = (agent: number): Effect => {
    calls.set(agent, index)
    const number = `2782${String(index % 10_000_000).padStart(7, '0')}`
    return agentCall(
      next('agents', 'call', refOf(agent), {
        ref: refOf(agent),
        call_ref: `1764000000.${index}`,
        contact_ref: `C${index}`,
        number,
        dial_number: `0${number.slice(2)}`,
        campaign_ref: campaignOf(agent),
      }),
    )
  }
  const record = (agent: number, dialedMs: number, own: object): Effect => {
    const payload = readCdr(++index)
    return cdr(
      next('campaigns', 'cdr', undefined, {
        ...payload,
        ref: campaignOf(agent),
        dialed_at: Math.floor(dialedMs / 1_000),
        ...own,
      }),
    )
  }
  function* turn(agent: number): Generator<Effect> {
    const at = turns.get(agent) ?? 0
    turns.set(agent, (at + 1) % 3)
    if (at === 0) yield* [status(agent, 'busy'), call(agent)]
    else if (at === 1) {
      yield status(agent, 'wrapup')
      yield record(agent, now() - 30_000, { extension: refOf(agent), call_ref: `1764000000.${calls.get(agent)}` })
    } else yield status(agent, 'available')
    // Each step is followed by the CDR of a number that nobody answered.
    yield record(agent, now() - 10_000, { extension: null, call_ref: `u${index}`, end_reason: 'busy', call_time: 0 })
  }
  return {
    *begin(cdrs: number): Generator<Effect> {
      for (let campaign = 0; campaign < CAMPAIGNS; campaign++)
        yield campaignStatus(next('campaigns', 'status', String(campaign), { status: 'started' }))
      const dayMs = Math.min(now() % 86_400_000, 10 * 3_600_000)
      for (let n = 0; n < cdrs; n++)
        yield record(
          n,
          now() - random.between(0, dayMs),
          n % 3 === 0
            ? { extension: refOf(n % agents) }
            : { extension: null, call_ref: `u${n}`, end_reason: ['busy', 'no_answer', 'callee_hungup'][n % 3] },
        )
      for (let agent = 0; agent < agents; agent++) for (let n = 0; n < 3 * CALLS_BEFORE + 1; n++) yield* turn(agent)
    },
    *go(changes: number): Generator<Effect> {
      for (let left = changes; left > 0;)
        for (const effect of turn(Math.floor(random.between(0, agents)))) {
          yield effect
          left--
        }
    },
  }
}
