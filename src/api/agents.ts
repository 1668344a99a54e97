import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import * as v from 'valibot'
import { describe } from './describe.ts'
import { problem } from './problem.ts'
import { flag, paging, path, query, word } from './query.ts'
import { AgentDetailAnswer, AgentsAnswer } from './schemas/agents.ts'

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
        answer: AgentsAnswer,
      }),
      query({
        ...paging,
        campaign: v.optional(word('Only agents in this campaign.')),
        status: v.optional(word('Only agents with this status.')),
        unsure: flag('Only agents whose state or call may have changed unheard; false: only others.'),
        counts: flag('Counts also where nothing is filtered.'),
      }),
      async (c) => c.json((await read.agents(c.req.valid('query'))) satisfies v.InferOutput<typeof AgentsAnswer>),
    )
    .get(
      '/:ref',
      describe({
        summary: 'One agent',
        description: 'An agent with its latest calls and its counters.',
        tag: 'agents',
        answer: AgentDetailAnswer,
        notFound: NOT_FOUND,
      }),
      path({ ref: "The agent's extension." }),
      query({}),
      async (c) => {
        const agent = await read.agent(c.req.valid('param').ref)
        if (agent === null) throw problem('not-found', NOT_FOUND, { parameter: 'ref' })
        return c.json(agent satisfies v.InferOutput<typeof AgentDetailAnswer>)
      },
    )
}
