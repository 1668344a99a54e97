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
        summary: 'All agents',
        description:
          'Every known agent, with its state in each campaign and its current call. With campaign, status or unsure: the agents of which one ' +
          'state fits all of them, and in `counts` how many states there are of each status, whatever `status` says.',
        tag: 'agents',
        answer: AgentsPage,
      }),
      query({
        ...paging,
        campaign: v.optional(word('Only agents in this campaign.')),
        status: v.optional(word('Only agents with this status.')),
        unsure: flag('Only agents whose state or call may have changed unheard; false: only others.'),
        counts: flag('Counts also where nothing is filtered.'),
      }),
      async (c) => c.json(await read.agents(c.req.valid('query'))),
    )
    .get(
      '/:ref',
      describe({
        summary: 'One agent',
        description: 'An agent with its latest calls and its counters.',
        tag: 'agents',
        answer: AgentDetail,
        notFound: NOT_FOUND,
      }),
      path({ ref: "The agent's extension." }),
      query(),
      async (c) => c.json(found(await read.agent(c.req.valid('param').ref), NOT_FOUND)),
    )
}
