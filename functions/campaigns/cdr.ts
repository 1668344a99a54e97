import { Hono } from 'hono'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { Cdr, defineRoute } from 'enigma-relay/protocol'
import { cdr as cdrEffect, type Effect } from 'enigma-relay/store'

/**
 * Stores one CDR per (source, call_ref, dialed_at, number), and indexes it by time, campaign, agent, contact and number. An identical CDR
 * changes nothing; a CDR with the same key and different content is kept as a revision and flagged. The CDR ends the agent's call if it
 * belongs to that call and not to an earlier try.
 *
 * Keep CDRs permanently in your own database: see examples/cdr-postgres.ts.
 */
export const route = defineRoute({
  type: 'campaigns',
  subType: 'cdr',
  payload: Cdr,
  maxConcurrency: 50,
  // Nobody waits for a CDR, so the CDRs of one second share requests and invocations.
  lingerMs: 1_000,
})

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const cdr = await event(c, route)
  record(c, cdrEffect(cdr))
  return c.body(null, 204)
})
