import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { loadFunctions } from '../src/local/street/street-functions.ts'
import { toLambdaRecord, type LambdaHandler } from '../src/local/lambda/lambda-trigger.ts'
import { readDeclarations } from '../src/lambda/declarations.ts'
import {
  createRoutes,
  formatEvent,
  formatEventType,
  formatId,
  formatSequence,
  joinEvents,
  type Cdr,
  type Route,
} from '../src/protocol/index.ts'
import { sleep, type Release } from '../src/runtime/index.ts'
import { cdr, createStore } from '../src/store/index.ts'
import { readCdr, toEvent } from './load.ts'
import { startReadModel, TOKEN } from './read-model.ts'

/** The rate at which the functions write to one database, and how long its scripts take. */
export type CapacityFigures = {
  /** CDRs in the read model before the measurement. */
  readonly cdrs: number
  /** Notifications that the functions finished per second, at an input rate of 2,000/s. */
  readonly perSecond: number
  /** The wall-clock time (ms) of scripts, as Redis measures it. It includes the time during which Redis waited for a processor. */
  readonly averageMs: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly slowestMs: number
  /** The CPU time (ms) of Redis per script, and the total time (ms) during which Redis waited for a processor. */
  readonly cpuMs: number
  readonly waitedMs: number
  readonly usedMb: number
}

const RATE = 2_000
/** The interval between invocations. */
const TICK_MS = 100
/** Messages per invocation, and notifications per message. */
const MESSAGES = 10
const PACK = 2
const FILL = 200
const FILLERS = 16
const AGENTS = 10_000
const CAMPAIGNS = 20

/** The share of each kind in the notifications of a call centre. */
const SHARES = [
  ['agents', 'status', 0.55],
  ['campaigns', 'cdr', 0.33],
  ['agents', 'call', 0.12],
] as const

/** Fills a read model with CDRs, then invokes the functions with 2,000 notifications a second, which they write to it. */
export async function measureCapacity(
  release: Release,
  signal: AbortSignal,
  { cdrs, seconds }: { readonly cdrs: number; readonly seconds: number },
): Promise<CapacityFigures> {
  const { redis, client, proxy } = await startReadModel(release, false)
  const store = createStore({ url: proxy.url, token: TOKEN })
  // Commits run in parallel, because each one sends many requests one after the other.
  let next = 0
  const fill = async () => {
    for (let from = next; from < cdrs; from = next) {
      next = from + FILL
      const effects = Array.from({ length: FILL }, (_, at) => toEffect(from + at, cdrs))
      await store.commit({ effects, done: new Map() })
      signal.throwIfAborted()
    }
  }
  await Promise.all(Array.from({ length: FILLERS }, fill))

  Object.assign(process.env, { UPSTASH_REDIS_REST_URL: proxy.url, UPSTASH_REDIS_REST_TOKEN: TOKEN })
  const routes = createRoutes(await readDeclarations())
  const handlers = await loadFunctions(new URL('../', import.meta.url), routes)
  await client.configSet({ 'slowlog-log-slower-than': '1000', 'slowlog-max-len': '10000' })
  await client.sendCommand(['SLOWLOG', 'RESET'])
  await client.configResetStat()
  const pid = redis.process.pid as number
  // A real database has its own machine. Without the real-time priority, the wait for a processor counts as time of the scripts.
  await promisify(execFile)('chrt', ['--fifo', '--pid', '1', String(pid)]).catch(() => undefined)
  const before = readSchedule(pid)
  let finished = 0
  const running = new Set<Promise<void>>()
  const startMs = performance.now()
  for (let tick = 0; tick < (seconds * 1_000) / TICK_MS; tick++) {
    for (const [type, subType, share] of SHARES) {
      const route = routes.find(type, subType) as Route
      const handler = handlers.get(route) as LambdaHandler
      for (let left = Math.round(RATE * share * (TICK_MS / 1_000)); left > 0; left -= MESSAGES * PACK) {
        const size = Math.min(left, MESSAGES * PACK)
        const work = invoke(handler, route, cdrs + tick * RATE + left, size).then((count) => {
          finished += count
          running.delete(work)
        })
        running.add(work)
      }
    }
    await sleep(Math.max(0, startMs + (tick + 1) * TICK_MS - performance.now()), signal)
  }
  await Promise.all(running)
  const tookSeconds = (performance.now() - startMs) / 1_000
  const after = readSchedule(pid)
  const slow = (await client.sendCommand(['SLOWLOG', 'GET', '10000'])) as [number, number, number, string[]][]
  const scripts = slow.filter(([, , , command]) => /^eval/i.test(command[0] ?? '')).map(([, , micros]) => micros)
  const info = await client.info('everything')
  const read = (pattern: RegExp) => Number(pattern.exec(info)?.[1])
  return {
    cdrs,
    perSecond: finished / tookSeconds,
    averageMs: read(/^cmdstat_evalsha:.*usec_per_call=([\d.]+)/m) / 1_000,
    p99Ms: read(/^latency_percentiles_usec_evalsha:.*\bp99=([\d.]+)/m) / 1_000,
    p999Ms: read(/^latency_percentiles_usec_evalsha:.*\bp99.9=([\d.]+)/m) / 1_000,
    slowestMs: Math.max(0, ...scripts) / 1_000,
    cpuMs: (after.ranMs - before.ranMs) / read(/^cmdstat_evalsha:calls=(\d+)/m),
    waitedMs: after.waitedMs - before.waitedMs,
    usedMb: read(/^used_memory:(\d+)/m) / 1e6,
  }
}

/** Returns how long the main thread of a process ran and waited for a processor. Source: https://docs.kernel.org/scheduler/sched-stats.html */
function readSchedule(pid: number): { ranMs: number; waitedMs: number } {
  const [ran, waited] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
  return { ranMs: Number(ran) / 1e6, waitedMs: Number(waited) / 1e6 }
}

/** Invokes a function with `size` notifications. Returns the number that it finished. */
async function invoke(handler: LambdaHandler, route: Route, first: number, size: number): Promise<number> {
  const events = Array.from({ length: size }, (_, at) => formatEvent(toNotification(route, first + at)))
  const records = Array.from({ length: Math.ceil(size / PACK) }, (_, at) =>
    toLambdaRecord(
      { MessageId: `${route.name}-${first}-${at}`, Body: joinEvents(events.slice(at * PACK, (at + 1) * PACK)) },
      `arn:aws:sqs:us-east-1:000000000000:enigma-${route.name}.fifo`,
    ),
  )
  const context = { functionName: route.name, awsRequestId: 'bench', getRemainingTimeInMillis: () => 30_000 }
  const answer = await handler({ Records: records }, context)
  return size - PACK * (answer?.batchItemFailures?.length ?? 0)
}

const START_MS = Date.now()

const toSeconds = (ms: number) => Math.floor(ms / 1_000)

function toPayload(index: number, dialed_at: number): Cdr {
  const number = `2782${String(index % 10_000_000).padStart(7, '0')}`
  const call_ref = `c${index}`
  return {
    ...readCdr(index),
    call_ref,
    number,
    dial_number: `0${number.slice(2)}`,
    contact_ref: `C${index}`,
    ref: String(index % CAMPAIGNS),
    dialed_at,
  }
}

const FILLED_MS = (3 * 24 - 2) * 3_600_000

/** Creates the effect of the `index`th of `of` CDRs, which are spread evenly over the last 70 hours, oldest first. */
function toEffect(index: number, of: number) {
  const payload = toPayload(index, toSeconds(START_MS - FILLED_MS * (1 - index / of)))
  return cdr(toEvent('campaigns', 'cdr', undefined, payload, { epoch: START_MS, index, timeMs: START_MS }))
}

function toNotification({ type, subType }: Route, index: number) {
  const ref = String(index % AGENTS)
  const transport = subType === 'cdr' ? 'list' : 'pubsub'
  const payload =
    subType === 'cdr'
      ? toPayload(index, toSeconds(Date.now()) - 40)
      : subType === 'call'
        ? { ref, call_ref: `c${index}`, contact_ref: `C${index}`, number: '27821234567' }
        : { ref, status: ['busy', 'wrapup', 'available'][index % 3], campaign_ref: String(index % CAMPAIGNS) }
  return {
    id: formatId('main', transport, START_MS, index),
    source: '/enigma/main',
    type: formatEventType(type, subType),
    ...(transport === 'list' ? {} : { subject: ref }),
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data: JSON.stringify({ type: subType, payload }),
    transport,
    channel: `enigma:notifications:${type}`,
    sequence: formatSequence(START_MS, index),
  } as const
}
