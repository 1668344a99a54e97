import type { CdrFilter, Reads } from '../store/index.ts'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import * as v from 'valibot'
import type { ApiEnv, Caller } from './auth.ts'
import { describe } from './describe.ts'
import { refuseSearch } from './mask.ts'
import { closed, json, refuseMalformed } from './operate.ts'
import { moment, paging, pagingInBody, path, phoneNumber, query, word } from './query.ts'
import { found, problem, problemResponse } from './errors.ts'
import { CdrDetail, CdrsPage } from '../answers/index.ts'

const NOT_FOUND = 'This CDR does not exist, or has expired from the read model.'

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

const Search = closed({
  ...filters,
  number: v.optional(word("The subscriber's number or the dialled number, as in the CDR.")),
  ...pagingInBody,
})

/** Bytes of the longest search: every filter as long as it may be, each character escaped. */
const MOST_BYTES = 32 * 1024

const WORDS =
  'Returns CDRs by `dialed_at`, newest first. A CDR must match all filters. A token with the role `masked` cannot use `contact` and `number`. If few CDRs match ' +
  'a filter, a page may hold fewer than `limit` items, or none: the last page is the one whose `next` is null. New CDRs never shift later pages.'

type Asked = Omit<CdrFilter, 'fromMs' | 'toMs' | 'endReason'> & {
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly end_reason?: string | undefined
}

/** `GET /cdrs`, `POST /cdrs/search` and `GET /cdrs/:id` */
export function cdrs(read: Reads): Hono<ApiEnv> {
  const find = async (caller: Caller, asked: Asked) => {
    refuseSearch(caller, asked, 'number', 'contact')
    const { from: fromMs, to: toMs, end_reason: endReason, ...rest } = asked
    if (fromMs !== undefined && toMs !== undefined && fromMs > toMs)
      throw problem('bad-parameter', 'from is later than to.', { parameter: 'from' })
    return read.cdrs({ ...rest, fromMs, toMs, endReason })
  }
  return new Hono<ApiEnv>()
    .get(
      '/',
      describe({
        summary: 'List CDRs',
        description: `${WORDS} To search by number or contact, use \`POST /cdrs/search\`, because URLs end up in logs.`,
        tag: 'cdrs',
        answer: CdrsPage,
      }),
      query({ ...filters, ...paging }),
      async (c) => c.json(await find(c.get('caller'), c.req.valid('query'))),
    )
    .post(
      '/search',
      describe({
        summary: 'Search CDRs with filters in the body',
        description: `The same as \`GET /cdrs\`, with the filters in a JSON body, so that no phone number ends up in a URL, a browser history or an access log. It only reads, and any token may use it. ${WORDS}`,
        tag: 'cdrs',
        answer: CdrsPage,
        isPost: true,
      }),
      bodyLimit({
        maxSize: MOST_BYTES,
        onError: () => problemResponse('bad-request', `The body has more than ${MOST_BYTES} bytes.`),
      }),
      refuseMalformed,
      json(Search),
      query(),
      async (c) => c.json(await find(c.get('caller'), c.req.valid('json'))),
    )
    .get(
      '/:id',
      describe({
        summary: 'Get a CDR',
        description: 'Returns a CDR with every field that the dialler sent, and its revisions.',
        tag: 'cdrs',
        answer: CdrDetail,
        notFound: NOT_FOUND,
      }),
      path({ id: 'The `id` of a CDR.' }),
      query(),
      async (c) => c.json(found(await read.cdr(c.req.valid('param').id), NOT_FOUND, 'id')),
    )
}
