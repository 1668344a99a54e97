import { Hono } from 'hono'
import { Pool } from 'pg'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { setting } from 'enigma-relay/settings'
import { Cdr, defineRoute } from 'enigma-relay/protocol'
import { cdr as cdrEffect, type Effect } from 'enigma-relay/store'

/**
 * The table. References are text: some are larger than any integer. `packet` is what the dialler wrote, to the last digit. A call has one
 * CDR for each number that was tried, so the number is part of the key; '' where it is not known.
 */
export const CDR_TABLE = `
create table if not exists cdrs (
  source text not null,
  call_ref text not null,
  dialed_at timestamptz not null,
  campaign_ref text,
  extension text,
  contact_ref text,
  number text not null,
  end_reason text,
  call_time_s double precision,
  hold_time_s double precision,
  recording_url text,
  packet text not null,
  notification_id text not null,
  received_at timestamptz not null,
  primary key (source, call_ref, dialed_at, number)
)`

// The same CDR again changes nothing, unless somebody sends it again with a replay; other content under the same key is taken when it was
// received later.
const UPSERT = `
insert into cdrs (source, call_ref, dialed_at, campaign_ref, extension, contact_ref, number, end_reason, call_time_s, hold_time_s,
  recording_url, packet, notification_id, received_at)
values ($1, $2, to_timestamp($3), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (source, call_ref, dialed_at, number) do update set
  campaign_ref = excluded.campaign_ref, extension = excluded.extension, contact_ref = excluded.contact_ref,
  end_reason = excluded.end_reason, call_time_s = excluded.call_time_s, hold_time_s = excluded.hold_time_s,
  recording_url = excluded.recording_url, packet = excluded.packet, notification_id = excluded.notification_id,
  received_at = excluded.received_at
where cdrs.received_at <= excluded.received_at and (cdrs.packet <> excluded.packet or $15)`

/**
 * campaigns/cdr, with each CDR written to your own Postgres: the record of CDRs, which the read model is not. Put this file in the place of
 * `functions/campaigns/cdr.ts`, after `npm install pg`.
 *
 * While Postgres is down the query fails, SQS hands the CDR out again, and the read model has it all the same. After the last
 * attempt it is parked, from where it can be sent again.
 */
export const route = defineRoute({
  type: 'campaigns',
  subType: 'cdr',
  payload: Cdr,
  // Each environment of the function has connections of its own: Postgres must take two for each.
  maxConcurrency: 20,
  // postgres://user:password@host/database
  secrets: ['CDR_DATABASE_URL'],
  // For a database in a VPC: vpc: { subnetIds: ['subnet-…'], securityGroupIds: ['sg-…'] }
})

/** Longest time (ms) for a connection, and for a statement: CDRs that come with it in one batch wait for it. */
const CONNECT_MS = 3_000
const STATEMENT_MS = 5_000

let pool: Pool | undefined

/** Undefined where there is none, on your own machine: a deployed function has what it declares. */
async function postgres(): Promise<Pool | undefined> {
  if (pool !== undefined) return pool
  const connectionString = await setting('CDR_DATABASE_URL')
  if (connectionString === '') return undefined
  pool ??= new Pool({ connectionString, max: 2, connectionTimeoutMillis: CONNECT_MS, query_timeout: STATEMENT_MS })
  // A connection that breaks while nobody uses it: the next query makes another one.
  pool.on('error', () => undefined)
  return pool
}

export const app = new Hono<AdapterEnv<Effect>>()

app.post(route.path, async (c) => {
  const cdr = await event(c, route)
  record(c, cdrEffect(cdr))
  const p = cdr.payload
  const packet = typeof cdr.data === 'string' ? cdr.data : ''
  const database = await postgres()
  await database?.query(UPSERT, [
    cdr.source,
    // Not known in a few: then the notification itself is the key, and the time received the best there is.
    p.call_ref ?? cdr.id,
    p.dialed_at ?? cdr.timeMs / 1000,
    p.ref ?? null,
    p.extension ?? null,
    p.contact_ref ?? null,
    p.number ?? '',
    p.end_reason ?? null,
    p.call_time ?? null,
    p.hold_time ?? null,
    p.recording_url ?? null,
    packet,
    cdr.id,
    cdr.time,
    cdr.replay !== undefined,
  ])
  return c.body(null, 204)
})
