import { Hono } from 'hono'
import { Wall } from '../answers/index.ts'
import type { AbandonRule, Reads } from '../store/index.ts'
import { describe } from './describe.ts'
import { query } from './query.ts'

/** Who hangs up on a dialler that has no agent for them; 3 % of the answered calls is the most that OFCOM (UK) and the FTC (US) allow. */
export const ABANDON_RULE: AbandonRule = { reasons: ['hungup', 'callee_hungup'], of: 'answered', threshold: 0.03 }

/** `GET /wall` */
export function wall(read: Reads, rule: AbandonRule): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'The call centre now',
      description:
        'All campaigns and agents in one answer, for a wallboard: totals, what each campaign does and what its CDRs of today and of the last hour ' +
        'come to, and the state and the call of each agent. The last hour begins with a quarter of an hour, so it is up to 75 minutes. ' +
        '`unsure` is only there where it is true.',
      tag: 'wall',
      answer: Wall,
    }),
    query(),
    async (c) => c.json(await read.wall(rule)),
  )
}
