import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import type * as v from 'valibot'
import { describe } from './describe.ts'
import { problem } from './problem.ts'
import { paging, path, query } from './query.ts'
import { CampaignDetailAnswer, CampaignsAnswer } from './schemas/campaigns.ts'

const NOT_FOUND = 'The read model has no campaign with this reference.'

/** `GET /campaigns` and `GET /campaigns/:ref` */
export function campaigns(read: Reads): Hono {
  return new Hono()
    .get(
      '/',
      describe({
        summary: 'All campaigns',
        description: 'Every known campaign, with its state.',
        tag: 'campaigns',
        answer: CampaignsAnswer,
      }),
      query(paging),
      async (c) => c.json((await read.campaigns(c.req.valid('query'))) satisfies v.InferOutput<typeof CampaignsAnswer>),
    )
    .get(
      '/:ref',
      describe({
        summary: 'One campaign',
        description:
          'A campaign with its history, its counters as a series, the counts of its CDRs, and the contacts that will be dialled next.',
        tag: 'campaigns',
        answer: CampaignDetailAnswer,
        notFound: NOT_FOUND,
      }),
      path({ ref: "The dialler's reference of the campaign." }),
      query({}),
      async (c) => {
        const campaign = await read.campaign(c.req.valid('param').ref)
        if (campaign === null) throw problem('not-found', NOT_FOUND, { parameter: 'ref' })
        return c.json(campaign satisfies v.InferOutput<typeof CampaignDetailAnswer>)
      },
    )
}
