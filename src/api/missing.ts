import { Hono } from 'hono'
import * as v from 'valibot'
import { MissingPage } from '../answers/index.ts'
import { missingCdr, type Reads, type StoreWriter } from '../store/index.ts'
import { describe } from './describe.ts'
import { paging, query, word } from './query.ts'

const filters = {
  campaign: v.optional(word('Only calls of this campaign, if the campaign is known.')),
  agent: v.optional(word('Only calls of the agent with this extension.')),
  source: v.optional(word('Only calls of this source, as named in ENIGMA_SOURCES.')),
}

/** `GET /missing` */
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
    query({ ...filters, ...paging }),
    async (c) => c.json(await read.missing(c.req.valid('query'))),
  )
}

/** How long (ms) a CDR is waited for after the agent has left the call. */
export const MISSING_MS = 15 * 60_000

/**
 * Lists the calls whose CDR is missing. To be called every few minutes by whatever runs on a schedule. Returns how many were found now, and how
 * many are listed.
 *
 * @throws StoreError
 */
export async function listMissing(
  { read, commit }: { readonly read: Reads; readonly commit: StoreWriter['commit'] },
  { waitMs = MISSING_MS, now = Date.now }: { readonly waitMs?: number; readonly now?: () => number } = {},
): Promise<{ readonly found: number; readonly listed: number }> {
  const before = await read.missingCount()
  const calls = await read.awaitedCalls(waitMs)
  if (calls.length === 0) return { found: 0, listed: before }
  await commit({ effects: calls.map((call) => missingCdr(call, now())), done: new Map() })
  const listed = await read.missingCount()
  return { found: Math.max(0, listed - before), listed }
}
