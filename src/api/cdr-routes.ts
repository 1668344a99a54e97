import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import * as v from 'valibot'
import { CdrDetail, CdrsPage, MissingPage } from '../answers/index.ts'
import type { CdrFilter, Reads } from '../store/index.ts'
import type { ApiEnv, Caller } from './auth.ts'
import { refuseSearch } from './mask.ts'
import { describe } from './openapi.ts'
import { closed, json, refuseMalformed } from './operate.ts'
import { found, problem, problemResponse } from './problems.ts'
import { moment, paging, pagingInBody, path, phoneNumber, query, word } from './query-parameters.ts'

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

/** Bytes of the longest possible search: every filter at its maximum length, with each character escaped. */
const MAX_SEARCH_BYTES = 32 * 1024

const WORDS =
  'Returns CDRs by `dialed_at`, newest first. A CDR must match all filters. A token with the role `masked` cannot use `contact` and `number`. If few CDRs match ' +
  'a filter, a page may hold fewer than `limit` items, or none: the last page is the one whose `next` is null. New CDRs do not change the content of later pages.'

type Asked = Omit<CdrFilter, 'fromMs' | 'toMs' | 'endReason'> & {
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly end_reason?: string | undefined
}

/** Serves `GET /cdrs`, `POST /cdrs/search` and `GET /cdrs/:id`. */
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
        maxSize: MAX_SEARCH_BYTES,
        onError: () => problemResponse('bad-request', `The body has more than ${MAX_SEARCH_BYTES} bytes.`),
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

const missingFilters = {
  campaign: v.optional(word('Only calls of this campaign, if the campaign is known.')),
  agent: v.optional(word('Only calls of the agent with this extension.')),
  source: v.optional(word('Only calls of this source, as named in ENIGMA_SOURCES.')),
}

/** Serves `GET /missing`. */
export function missing(read: Reads): Hono {
  return new Hono().get(
    '/',
    describe({
      summary: 'List calls without a CDR',
      description:
        'Returns, newest first, each call that an agent has left and whose CDR has not arrived after 15 minutes (`ENIGMA_MISSING_MINUTES`), although a relay consumes ' +
        'the list of CDRs. A call leaves the list when its CDR arrives, or after seven days. The latest 10,000 calls are kept. A page may hold fewer than ' +
        '`limit` items: the last page is the one whose `next` is null.',
      tag: 'cdrs',
      answer: MissingPage,
    }),
    query({ ...missingFilters, ...paging }),
    async (c) => c.json(await read.missing(c.req.valid('query'))),
  )
}
