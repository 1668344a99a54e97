import { sleep } from '../../src/runtime/index.ts'
import type { DiallerRedis } from './dialler-redis.ts'
import { MAYBE_TWICE, type Ledger } from './ledger.ts'
import { LIST_OF, makePacket, type Stream } from './packets.ts'
import type { LoadStep } from './plan.ts'

export type DiallerOptions = {
  readonly seed: number
  readonly redis: DiallerRedis
  readonly ledger: Ledger
  readonly load: readonly LoadStep[]
}

/** The interval between writes. Each write contains the packets that have become due. */
const TICK_MS = 10
const MOST_AT_ONCE = 500

/** Pushes packets unless an earlier attempt has pushed them, so that a retry does not add them twice. */
const PUSH = `
local last = redis.call('GET', KEYS[2])
if last and tonumber(last) >= tonumber(ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[1], unpack(ARGV, 2))
redis.call('SET', KEYS[2], ARGV[1])
return 1
`
const pushedKey = (stream: Stream) => `soak:pushed:${stream}`

/** Returns the number of packets that are due after `ms`, by the steps of the load. */
export function countDue(load: readonly LoadStep[], stream: Stream, ms: number): number {
  let due = 0
  for (const [at, step] of load.entries()) {
    if (step.atMs >= ms) break
    const untilMs = Math.min(ms, load[at + 1]?.atMs ?? ms)
    due += ((untilMs - step.atMs) / 1_000) * step[stream]
  }
  return Math.floor(due)
}

/**
 * Starts the dialler. It pushes CDRs in order, and retries until Redis accepts them. It publishes statuses and calls once, whether or not a
 * relay is subscribed. It records each packet in the ledger, with the time of writing.
 */
export async function startDialler({ seed, redis, ledger, load }: DiallerOptions) {
  const [pushing, publishing] = [await redis.connect(), await redis.connect()]
  const stopping = new AbortController()
  const startMs = performance.now()
  const underWay: Partial<Record<Stream, readonly [from: number, to: number]>> = {}

  const push = async (stream: 'main' | 'shared', from: number, to: number) => {
    const packets: (string | Buffer)[] = []
    const rows = ledger[stream]
    for (let n = from; n < to; n++) {
      packets.push(makePacket(seed, stream, n).packet)
      rows.begin(n, Date.now())
    }
    underWay[stream] = [from, to]
    for (;;) {
      try {
        await pushing.sendCommand(['EVAL', PUSH, '2', LIST_OF[stream], pushedKey(stream), String(to), ...packets])
        break
      } catch {
        await sleep(TICK_MS)
      }
    }
    const nowMs = Date.now()
    for (let n = from; n < to; n++) rows.end(n, nowMs, true)
  }
  const publish = async (from: number, to: number) => {
    const rows = ledger.pubsub
    await Promise.all(
      Array.from({ length: to - from }, async (_, at) => {
        const n = from + at
        const { key, packet } = makePacket(seed, 'pubsub', n)
        rows.begin(n, Date.now())
        const taken = await publishing.publish(key, packet).then(
          () => true,
          () => false,
        )
        rows.end(n, Date.now(), taken)
      }),
    )
  }
  const run = async (stream: Stream) => {
    let written = 0
    while (!stopping.signal.aborted) {
      const due = Math.min(countDue(load, stream, performance.now() - startMs), written + MOST_AT_ONCE)
      if (due > written) await (stream === 'pubsub' ? publish(written, due) : push(stream, written, due))
      written = Math.max(written, due)
      await sleep(due === written + MOST_AT_ONCE ? 0 : TICK_MS)
    }
  }
  const running = Promise.all([run('main'), run('shared'), run('pubsub')])
  return {
    /** Call it when Redis has lost its data. A relay may have taken the packets of the latest push, and the dialler may push them again. */
    emptied(): void {
      for (const [stream, [from, to]] of Object.entries(underWay) as [Stream, readonly [number, number]][]) {
        for (let n = from; n < to; n++) ledger[stream].set(n, MAYBE_TWICE)
      }
    },
    /** Stops the dialler. Resolves when Redis has answered the last write. */
    stop: async (): Promise<void> => {
      stopping.abort()
      await running
    },
  }
}

export type Dialler = Awaited<ReturnType<typeof startDialler>>
