import { Hono } from 'hono'
import { Pool } from 'pg'
import { event, record, type AdapterEnv } from 'enigma-relay/adapter'
import { setting } from 'enigma-relay/settings'
import { Cdr, defineRoute } from 'enigma-relay/protocol'
import { cdr as cdrEffect, type Effect } from 'enigma-relay/store'

/**
 * The table. References are text, because some exceed every integer type. `packet` is exactly what the dialler wrote. A call has one
 * CDR per number tried, so the number is part of the key ('' if it is unknown).
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

// An identical CDR changes nothing, unless it comes from a replay. A CDR with the same key and different content replaces the row if it was
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
 * Handles campaigns/cdr and also writes each CDR to your own Postgres, which keeps CDRs permanently; the read model does not. Replace
 * `functions/campaigns/cdr.ts` with this file, after `npm install pg`.
 *
 * While Postgres is down, the query fails and SQS delivers the CDR again; the read model has the CDR in any case. After the last
 * attempt, the CDR is parked, and you can send it again.
 */
export const route = defineRoute({
  type: 'campaigns',
  subType: 'cdr',
  payload: Cdr,
  // Each execution environment of the function opens its own connections: Postgres must accept two per environment.
  maxConcurrency: 20,
  // postgres://user:password@host/database
  secrets: ['CDR_DATABASE_URL'],
  // For a database in a VPC: vpc: { subnetIds: ['subnet-…'], securityGroupIds: ['sg-…'] }
})

/** Time limits (ms) for a connection and for a statement. The other CDRs of the batch wait for them. */
const CONNECT_MS = 3_000
const STATEMENT_MS = 5_000

let pool: Pool | undefined

/** Returns undefined if no database is configured, as on your own machine. A deployed function always has the secrets that it declares. */
async function postgres(): Promise<Pool | undefined> {
  if (pool !== undefined) return pool
  const connectionString = await setting('CDR_DATABASE_URL')
  if (connectionString === '') return undefined
  pool ??= new Pool({ connectionString, max: 2, connectionTimeoutMillis: CONNECT_MS, query_timeout: STATEMENT_MS })
  // An idle connection broke. The next query opens another one.
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
    // A few CDRs lack these fields. Then the notification's id is the key, and the time received is the best approximation.
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
