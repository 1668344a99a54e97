import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import { describe } from './describe.ts'
import { found } from './errors.ts'
import { paging, path, query } from './query.ts'
import { CampaignDetail, CampaignsPage, Dialers, Preview } from '../answers/index.ts'

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
        answer: CampaignsPage,
      }),
      query(paging),
      async (c) => c.json(await read.campaigns(c.req.valid('query'))),
    )
    .get(
      '/:ref',
      describe({
        summary: 'One campaign',
        description:
          'A campaign with its history, its counters as a series, the counts of its CDRs, and what those of today come to.',
        tag: 'campaigns',
        answer: CampaignDetail,
        notFound: NOT_FOUND,
      }),
      path({ ref: "The dialler's reference of the campaign." }),
      query(),
      async (c) => c.json(found(await read.campaign(c.req.valid('param').ref), NOT_FOUND)),
    )
    .get(
      '/:ref/preview',
      describe({
        summary: 'Who will be dialled next',
        description:
          'The contacts that will be dialled next: the latest list that the dialler sent, for a quarter of an hour.',
        tag: 'campaigns',
        answer: Preview,
        notFound: NO_PREVIEW,
      }),
      path({ ref: "The dialler's reference of the campaign." }),
      query(),
      async (c) => c.json(found(await read.preview(c.req.valid('param').ref), NO_PREVIEW)),
    )
}

/** `GET /dialers` */
export function dialers(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'All diallers',
      description:
        'Every known dialler, with its state: started, stopping or stopped. There are few, so the list has no pages.',
      tag: 'dialers',
      answer: Dialers,
    }),
    query(),
    async (c) => c.json({ items: await read.dialers() }),
  )
}
