import { setTimeout as sleep } from 'node:timers/promises'
import { formatPacket } from '../../src/protocol/index.ts'
import type { useRedisClient } from './redis.ts'

type Client = Awaited<ReturnType<typeof useRedisClient>>

export const CAMPAIGNS = 'enigma:notifications:campaigns'

/** Returns the `n`th CDR, of one of a hundred calls. Its `call_ref` is the order key. */
export const cdrOf = (n: number): string =>
  formatPacket({ type: 'cdr', payload: { call_ref: n % 100, dialed_at: 1_764_000_000, n, number: '27821234567' } })

/** Returns whether all CDRs are settled: none is on the list or in a claim. */
export const drained =
  (client: { lLen: (key: string) => Promise<number>; keys: (pattern: string) => Promise<string[]> }) =>
  async (): Promise<boolean> =>
    (await client.lLen(CAMPAIGNS)) === 0 && (await client.keys('enigma:relay:claim:*')).length === 0

/** The `n`th status, of one of fifty agents. */
export const statusOf = (n: number): string => formatPacket({ type: 'status', payload: { status: 'busy', n } })
export const agentChannel = (n: number): string => `enigma:notifications:agents:${1_000 + (n % 50)}`

/** The interval between writes. Each writes the packets that have become due. */
const TICK_MS = 10

export type Load = {
  /** How many packets are written so far: those with the numbers 0 … written - 1. */
  readonly written: number
  /** Stops the load. Resolves after the last write, with the number of packets written. */
  stop: () => Promise<number>
}

/** Calls `write` with the numbers that are due at this rate, after the previous call has resolved. */
function startLoad(perSecond: number, write: (from: number, to: number) => Promise<unknown>): Load {
  const state = { written: 0, isStopped: false }
  const start = performance.now()
  const run = async () => {
    while (!state.isStopped) {
      const due = Math.floor(((performance.now() - start) / 1_000) * perSecond)
      if (due > state.written) {
        await write(state.written, due)
        state.written = due
      }
      await sleep(TICK_MS)
    }
  }
  const running = run()
  return {
    get written() {
      return state.written
    },
    stop: async () => {
      state.isStopped = true
      await running
      return state.written
    },
  }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at)

/** Pushes CDRs. Retries a push until Redis confirms it, and never repeats a confirmed push. */
export function pushCdrs(client: Client, perSecond: number, list = CAMPAIGNS): Load {
  return startLoad(perSecond, async (from, to) => {
    for (;;) {
      try {
        return await client.lPush(list, range(from, to).map(cdrOf))
      } catch {
        await sleep(TICK_MS)
      }
    }
  })
}

/** When (unix ms) a number was published: the times before the command and after the reply of Redis. `taken`: Redis accepted it. */
export type Published = { readonly fromMs: number; readonly toMs: number; readonly taken: boolean }

/** Publishes statuses whether or not a relay is subscribed, and records when. As with a dialler, a failed PUBLISH is not retried. */
export function publishStatuses(
  client: Client,
  perSecond: number,
): Load & { readonly published: readonly Published[] } {
  const published: Published[] = []
  const publish = async (n: number) => {
    const fromMs = Date.now()
    const taken = await client.publish(agentChannel(n), statusOf(n)).then(
      () => true,
      () => false,
    )
    published[n] = { fromMs, toMs: Date.now(), taken }
  }
  const load = startLoad(perSecond, (from, to) => Promise.all(range(from, to).map(publish)))
  return {
    published,
    get written() {
      return load.written
    },
    stop: load.stop,
  }
}
