import { Hono } from 'hono'
import { Wall } from '../answers/index.ts'
import type { AbandonRule, Reads } from '../store/index.ts'
import { describe } from './openapi.ts'
import { query } from './query-parameters.ts'

/** Callees who hang up because the dialler has no agent for them. OFCOM (UK) and the FTC (US) allow at most 3 % of the answered calls. */
export const ABANDON_RULE: AbandonRule = { reasons: ['hungup', 'callee_hungup'], of: 'answered', threshold: 0.03 }

/** How old (ms) a shared answer may be: every open console polls about every two seconds. */
const MAX_SHARED_MS = 1_000

/** Serves `GET /wall`. */
export function wall(read: Reads, rule: AbandonRule, now: () => number): Hono {
  const answer = shareFor(MAX_SHARED_MS, now, async () => JSON.stringify(await read.wall(rule)))
  return new Hono().get(
    '/',
    describe({
      summary: 'Get the data of a wallboard',
      description:
        'Returns all campaigns and agents in one response, for a wallboard: totals, the state of each campaign with figures from its CDRs of today and of the last ' +
        'hour, and the state and call of each agent. "Last hour" starts on a quarter hour, so it spans up to 75 minutes. ' +
        '`unsure` is present only where it is true. Requests within a second may share a response: `at` is the time at which it was read.',
      tag: 'wall',
      answer: Wall,
    }),
    query(),
    async (c) => c.body(await answer(), 200, { 'content-type': 'application/json' }),
  )
}

/**
 * Shares the result of a read for this long (ms) from when it was requested, even while it is still being read. A failed read is not
 * shared.
 */
export function shareFor<T>(ms: number, now: () => number, read: () => Promise<T>): () => Promise<T> {
  let last: { readonly atMs: number; readonly answer: Promise<T> } | undefined
  return async () => {
    const nowMs = now()
    // The clock may be set back.
    if (last !== undefined && nowMs >= last.atMs && nowMs - last.atMs <= ms) return last.answer
    const own = { atMs: nowMs, answer: read() }
    last = own
    try {
      return await own.answer
    } catch (error) {
      if (last === own) last = undefined
      throw error
    }
  }
}
