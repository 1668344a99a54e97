import { Hono } from 'hono'
import * as v from 'valibot'
import {
  AgentDetail,
  AgentsPage,
  CampaignDetail,
  CampaignsPage,
  Dialers,
  Kind,
  OtherPage,
  Preview,
  Wall,
} from '../answers/index.ts'
import type { AbandonRule, Reads } from '../store/index.ts'
import { describe } from './openapi.ts'
import { found, problem } from './problems.ts'
import { flag, paging, path, query, word } from './query-parameters.ts'

const NO_AGENT = 'The read model has no agent with this reference.'

/** Serves `GET /agents` and `GET /agents/:ref`. */
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
        notFound: NO_AGENT,
      }),
      path({ ref: "The agent's extension." }),
      query(),
      async (c) => c.json(found(await read.agent(c.req.valid('param').ref), NO_AGENT)),
    )
}

const NO_PREVIEW = 'The dialler has sent no dial preview of this campaign in the last 15 minutes.'
const NO_CAMPAIGN = 'The read model has no campaign with this reference.'

/** Serves `GET /campaigns`, `GET /campaigns/:ref` and `GET /campaigns/:ref/preview`. */
export function campaigns(read: Reads): Hono {
  return new Hono()
    .get(
      '/',
      describe({
        summary: 'List campaigns',
        description:
          'Returns every known campaign with its state, its agents by status, and figures from its CDRs of today.',
        tag: 'campaigns',
        answer: CampaignsPage,
      }),
      query(paging),
      async (c) => c.json(await read.campaigns(c.req.valid('query'))),
    )
    .get(
      '/:ref',
      describe({
        summary: 'Get a campaign',
        description:
          'Returns a campaign with its history, its counters as a time series, the number of its CDRs, and figures from its CDRs of today.',
        tag: 'campaigns',
        answer: CampaignDetail,
        notFound: NO_CAMPAIGN,
      }),
      path({ ref: "The dialler's reference of the campaign." }),
      query(),
      async (c) => c.json(found(await read.campaign(c.req.valid('param').ref), NO_CAMPAIGN)),
    )
    .get(
      '/:ref/preview',
      describe({
        summary: 'Get the dial preview of a campaign',
        description:
          'Returns the contacts that will be dialled next, from the latest list that the dialler sent. The list expires after 15 minutes.',
        tag: 'campaigns',
        answer: Preview,
        notFound: NO_PREVIEW,
      }),
      path({ ref: "The dialler's reference of the campaign." }),
      query(),
      async (c) => c.json(found(await read.preview(c.req.valid('param').ref), NO_PREVIEW)),
    )
}

/** Serves `GET /dialers`. */
export function dialers(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'List diallers',
      description:
        'Returns every known dialler with its state: started, stopping or stopped. The list is short, so it has no pages.',
      tag: 'dialers',
      answer: Dialers,
    }),
    query(),
    async (c) => c.json({ items: await read.dialers() }),
  )
}

const NO_VALUE = 'The read model has no value of this kind for this reference.'

/** Serves `GET /kinds/:type/:sub_type/:ref`. */
export function kinds(read: Reads): Hono {
  return new Hono().get(
    '/:type/:sub_type/:ref',
    describe({
      summary: 'Get the latest value of a kind',
      description:
        'Returns what a function recorded with `latest`: the latest payload for a reference, and earlier payloads, newest first.',
      tag: 'kinds',
      answer: Kind,
      notFound: NO_VALUE,
    }),
    path({
      type: 'The type in the plural, as in the key: agents.',
      sub_type: "The packet's type: break.",
      ref: 'The reference, as in the key.',
    }),
    query(),
    async (c) => {
      const { type, sub_type: subType, ref } = c.req.valid('param')
      const kind = await read.kind(type, subType, ref)
      if (kind === null) throw problem('not-found', NO_VALUE, { parameter: 'ref' })
      return c.json(kind)
    },
  )
}

/** Serves `GET /other`. */
export function other(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'List notifications without a route',
      description:
        'Returns the last 1,000 notifications of unknown types and packets that cannot be read, newest first, with their bytes and the reason.',
      tag: 'other',
      answer: OtherPage,
    }),
    query(paging),
    async (c) => c.json(await read.other(c.req.valid('query'))),
  )
}

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
