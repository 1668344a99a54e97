import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { Cdr, defineRoute } from 'enigma-relay/protocol'
import { cdr as cdrEffect, type Effect } from 'enigma-relay/store'

/**
 * Records that one number was tried: a record per (source, call_ref, dialed_at, number), found by time, campaign, agent, contact and
 * number. The same again changes nothing; other content under the same key is kept as a revision and flagged. Ends the agent's call if it
 * is the CDR of that call and not of an earlier try.
 *
 * The record of CDRs is your own database: see examples/cdr-postgres.ts.
 */
export const route = defineRoute({
  type: 'campaigns',
  subType: 'cdr',
  payload: Cdr,
  maxConcurrency: 50,
  // Nobody waits for a record: a second's worth of them shares requests and invocations.
  lingerMs: 1_000,
})

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const cdr = await event(c, route)
  record(c, cdrEffect(cdr))
  return c.body(null, 204)
})
