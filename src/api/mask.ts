import type { Context, MiddlewareHandler } from 'hono'
import { maskPayload, maskText } from '../protocol/index.ts'
import type { ApiEnv, Caller } from './auth.ts'
import { problem } from './problems.ts'

/**
 * Names of fields whose texts are shown unmasked: names given by this API, references of the dialler, and times. Any other text may contain
 * a number.
 */
const SHOWN =
  /(?:^|_)(?:ref|id|ids|at|cursor)$|^(?:agent|campaign|extension|source|sources|relay|route|since|until|from|to|hour|next|unsure|first|last|oldest|next_expiry|example)$/

/** Replaces a value that should be a scalar but is not, and may therefore contain anything. */
const HIDDEN = 'masked'

/** Names of fields with counts by word: by type, end reason, state or route. */
const COUNTS = new Set(['counts', 'end_reasons', 'agents', 'campaigns', 'routes'])

/** The original bytes of a packet. */
const RAW = new Set(['text', 'base64'])

/** The attributes of an event that the relay writes. Other attributes of a foreign event may contain anything. */
const ATTRIBUTES = new Set([
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'datacontenttype',
  'transport',
  'channel',
  'sequence',
  'traceparent',
  'reason',
  'maxwaitms',
])

/** The documented fields of a CDR. Other fields of a dialler may contain anything. */
const CDR_FIELDS = new Set([
  'ref',
  'extension',
  'number',
  'dial_number',
  'call_ref',
  'contact_ref',
  'dialed_at',
  'end_reason',
  'end_code',
  'call_time',
  'hold_time',
  'call_dir',
  'recording_url',
])

/** The documented values of stats. Other values may contain anything. */
const STATS_FIELDS = new Set([
  'calls',
  'talk_time',
  'wrapup_time',
  'idle_time',
  'total_calls',
  'answered',
  'unanswered',
  'dropped',
  'rejected',
  'failed',
  'callees_remaining',
  'callees_queued',
  'callees_completed',
  'callees_failed',
])

/**
 * Masks personal data in the answers to a caller with the role `masked`, or to a request with `masked=true`. It must run before the ETag is
 * computed: the ETag of an unmasked answer would confirm a guessed number.
 */
export const maskAnswers: MiddlewareHandler<ApiEnv> = async (c, next) => {
  await next()
  if (!isMasked(c) || !c.res.ok || c.req.path === '/openapi.json') return
  c.res = new Response(JSON.stringify(maskAnswer(await c.res.json())), {
    status: c.res.status,
    headers: { 'content-type': 'application/json' },
  })
}

/** Returns whether the answer to this request masks personal data. */
export const isMasked = (c: Context<ApiEnv>): boolean =>
  c.get('caller').role === 'masked' || c.req.query('masked') === 'true'

/** The documented fields of all payloads. */
const PACKET_FIELDS = new Set([...CDR_FIELDS, ...STATS_FIELDS, 'status', 'campaign_ref', 'agent', 'callees'])

/** Masks an event, a batch of events, or unreadable content: shows documented fields, and hides all others. */
export function maskContent(content: string): string {
  const events = parse(content)
  const masked = Array.isArray(events) ? events.map(maskEvent) : maskEvent(events)
  return masked === HIDDEN ? HIDDEN : JSON.stringify(masked)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isFields = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function maskEvent(event: unknown): unknown {
  if (!isFields(event) || typeof event['specversion'] !== 'string') return HIDDEN
  const attributes = Object.entries(event).filter(([name]) => ATTRIBUTES.has(name))
  const shown = attributes.map(([name, value]) =>
    name === 'time' && isTime(value) ? [name, value] : maskField([name, value]),
  )
  return { ...Object.fromEntries(shown), data: maskPacket(event['data']) }
}

const isTime = (value: unknown): boolean => typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]{5,15}Z$/.test(value)

function maskPacket(data: unknown): unknown {
  const packet = typeof data === 'string' ? parse(data) : data
  if (!isFields(packet)) return HIDDEN
  const { type, payload } = packet
  const fields = isFields(payload) ? Object.entries(payload).filter(([name]) => PACKET_FIELDS.has(name)) : undefined
  return {
    ...(typeof type === 'string' ? { type: maskText(type) } : {}),
    payload: fields === undefined ? HIDDEN : Object.fromEntries(fields.map(maskField)),
  }
}

/** Returns a copy of an answer without personal data, in the same shape. */
export function maskAnswer(value: unknown, name = ''): unknown {
  if (RAW.has(name)) return null
  // The content was masked when it was read.
  if (name === 'content' && isFields(value) && value['masked'] === true) return value
  // Shows the number of callees, and hides their fields.
  if (name === 'callees' && Array.isArray(value)) return value.map(() => ({ number: null, contact_ref: null }))
  const { [name]: masked } = maskPayload({ [name]: value }) as Record<string, unknown>
  // A scalar, or whatever value a dialler sends in place of a number.
  if (typeof masked !== 'object' || masked === null)
    return typeof masked === 'string' && masked === value && !SHOWN.test(name) ? maskText(masked) : masked
  if (Array.isArray(value)) return value.map((inner) => maskAnswer(inner, typeof inner === 'object' ? '' : name))
  const entries = Object.entries(value as object)
  if (COUNTS.has(name)) return addUp(entries as [string, number][])
  if (name === 'values') return Object.fromEntries(entries.filter(([field]) => STATS_FIELDS.has(field)))
  if (name === 'payload') return Object.fromEntries(entries.filter(([field]) => CDR_FIELDS.has(field)).map(maskField))
  return Object.fromEntries(entries.map(([field, inner]) => [field, maskAnswer(inner, field)]))
}

/** Masks a field of a CDR: shows references, and masks unreadable values like any other text. */
function maskField([name, value]: readonly [string, unknown]): [string, unknown] {
  if (typeof value === 'object' && value !== null) return [name, HIDDEN]
  return [name, maskAnswer(value, name === 'dialed_at' ? '' : name)]
}

/** Sums counts by masked type, since masking may make types equal. */
function addUp(counts: readonly (readonly [string, number])[]): Record<string, number> {
  const masked = new Map<string, number>()
  for (const [type, count] of counts) masked.set(maskText(type), (masked.get(maskText(type)) ?? 0) + count)
  return Object.fromEntries(masked)
}

/** Rejects a search by one of these filters if the caller may not see the results. @throws the answer 403 */
export function refuseSearch<Filter extends object>(
  { role }: Caller,
  filter: Filter,
  ...personal: readonly (keyof Filter & string)[]
): void {
  const parameter = personal.find((name) => filter[name] !== undefined)
  if (role === 'masked' && parameter !== undefined)
    throw problem('forbidden', `A token with the role masked cannot search by ${parameter}.`, { parameter })
}
