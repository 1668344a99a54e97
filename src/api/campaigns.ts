import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import type * as v from 'valibot'
import { describe } from './describe.ts'
import { problem } from './problem.ts'
import { paging, path, query } from './query.ts'
import { CampaignDetailAnswer, CampaignsAnswer, PreviewAnswer } from './schemas/campaigns.ts'

const NO_PREVIEW = 'The dialler has sent no list of this campaign recently.'
const NOT_FOUND = 'The read model has no campaign with this reference.'

/** `GET /campaigns`, `GET /campaigns/:ref` and `GET /campaigns/:ref/preview` */
export function campaigns(read: Reads): Hono {
  return new Hono()
    .get(
      '/',
      describe({
        summary: 'All campaigns',
        description: 'Every known campaign, with its state, its agents by status, and what its CDRs of today come to.',
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
          'A campaign with its history, its counters as a series, the counts of its CDRs, and what those of today come to.',
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
    .get(
      '/:ref/preview',
      describe({
        summary: 'Who will be dialled next',
        description:
          'The contacts that will be dialled next: the latest list that the dialler sent, for a quarter of an hour.',
        tag: 'campaigns',
        answer: PreviewAnswer,
        notFound: NO_PREVIEW,
      }),
      path({ ref: "The dialler's reference of the campaign." }),
      query({}),
      async (c) => {
        const preview = await read.preview(c.req.valid('param').ref)
        if (preview === null) throw problem('not-found', NO_PREVIEW, { parameter: 'ref' })
        return c.json(preview satisfies v.InferOutput<typeof PreviewAnswer>)
      },
    )
}
