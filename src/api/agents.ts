import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import * as v from 'valibot'
import { describe } from './describe.ts'
import { found } from './errors.ts'
import { flag, paging, path, query, word } from './query.ts'
import { AgentDetail, AgentsPage } from '../answers/index.ts'

const NOT_FOUND = 'The read model has no agent with this reference.'

/** `GET /agents` and `GET /agents/:ref` */
export function agents(read: Reads): Hono {
  return new Hono()
    .get(
      '/',
      describe({
        summary: 'List agents',
        description:
          'Returns every known agent with its state in each campaign and its current call. With `campaign`, `status` or `unsure`, returns the agents ' +
          'of which one state matches all filters, and in `counts` the number of states by status, regardless of the `status` filter.',
        tag: 'agents',
        answer: AgentsPage,
      }),
      query({
        ...paging,
        campaign: v.optional(word('Only agents in this campaign.')),
        status: v.optional(word('Only agents with this status.')),
        unsure: flag('true: only agents with an unsure state or call. false: only agents without one.'),
        counts: flag('Returns `counts` even without a filter.'),
      }),
      async (c) => c.json(await read.agents(c.req.valid('query'))),
    )
    .get(
      '/:ref',
      describe({
        summary: 'Get an agent',
        description: 'Returns an agent with its latest calls and counters.',
        tag: 'agents',
        answer: AgentDetail,
        notFound: NOT_FOUND,
      }),
      path({ ref: "The agent's extension." }),
      query(),
      async (c) => c.json(found(await read.agent(c.req.valid('param').ref), NOT_FOUND)),
    )
}
