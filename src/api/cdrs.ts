import type { Reads } from '../store/index.ts'
import { Hono } from 'hono'
import * as v from 'valibot'
import type { ApiEnv } from './auth.ts'
import { describe } from './describe.ts'
import { refuseSearch } from './mask.ts'
import { moment, paging, path, phoneNumber, query, word } from './query.ts'
import { found, problem } from './errors.ts'
import { CdrDetail, CdrsPage } from '../answers/index.ts'

const NOT_FOUND = 'This CDR does not exist, or it is older than the retention of the read model.'

const filters = {
  from: v.optional(moment('Dialled at or after this:')),
  to: v.optional(moment('Dialled at or before this:')),
  campaign: v.optional(word('Only CDRs of this campaign.')),
  agent: v.optional(word('Only CDRs of the agent with this extension.')),
  contact: v.optional(word('Only CDRs with this contact reference.')),
  number: v.optional(
    phoneNumber("The subscriber's number or the dialled number, as in the CDR; write a leading + as %2B."),
  ),
  end_reason: v.optional(word('Only CDRs with this end reason.')),
}

/** `GET /cdrs` and `GET /cdrs/:id` */
export function cdrs(read: Reads): Hono<ApiEnv> {
  return new Hono<ApiEnv>()
    .get(
      '/',
      describe({
        summary: 'CDRs, newest first',
        description:
          'CDRs by `dialed_at`, newest first. A CDR must match all filters; a token with the role masked cannot use contact and number. A page may hold fewer than `limit` items, even none, when few CDRs match ' +
          'a filter: the last page is the one whose `next` is null. New CDRs never shift later pages.',
        tag: 'cdrs',
        answer: CdrsPage,
      }),
      query({ ...filters, ...paging }),
      refuseSearch('number', 'contact'),
      async (c) => {
        const { from: fromMs, to: toMs, end_reason: endReason, ...rest } = c.req.valid('query')
        if (fromMs !== undefined && toMs !== undefined && fromMs > toMs) {
          throw problem('bad-parameter', 'from is later than to.', { parameter: 'from' })
        }
        const page = await read.cdrs({ ...rest, fromMs, toMs, endReason })
        return c.json(page)
      },
    )
    .get(
      '/:id',
      describe({
        summary: 'One CDR',
        description: 'A CDR with every field that the dialler sent, and its revisions.',
        tag: 'cdrs',
        answer: CdrDetail,
        notFound: NOT_FOUND,
      }),
      path({ id: 'The `id` of a CDR.' }),
      query(),
      async (c) => c.json(found(await read.cdr(c.req.valid('param').id), NOT_FOUND, 'id')),
    )
}
