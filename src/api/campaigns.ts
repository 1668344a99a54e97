import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import { describe } from './describe.ts'
import { found } from './errors.ts'
import { paging, path, query } from './query.ts'
import { CampaignDetail, CampaignsPage, Dialers, Preview } from '../answers/index.ts'

const NO_PREVIEW = 'The dialler has sent no dial preview of this campaign in the last 15 minutes.'
const NOT_FOUND = 'The read model has no campaign with this reference.'

/** `GET /campaigns`, `GET /campaigns/:ref` and `GET /campaigns/:ref/preview` */
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
        notFound: NOT_FOUND,
      }),
      path({ ref: "The dialler's reference of the campaign." }),
      query(),
      async (c) => c.json(found(await read.campaign(c.req.valid('param').ref), NOT_FOUND)),
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

/** `GET /dialers` */
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
