import { canonicalType, formatKey, parseKey, stateKeys, type Key, type Packet } from '../protocol/index.ts'

/** Where a packet is written: the parts of the key, or the key itself (to test a key outside the scheme). */
export type WriteKey = Key | string

/** A packet. Or text or bytes that are written unchanged, to test a malformed packet, or a packet with numbers above 2^53. */
export type WritePacket = Packet | string | Uint8Array

/** A packet with its destination: `pubsub` is published on the channel `key`, `list` is pushed left on the list `key`. */
export type Outgoing = { readonly transport: 'pubsub' | 'list'; readonly key: string; readonly packet: WritePacket }

/*
 * The packets of a dialler, one function per sub_type, each with its key and transport. The fields are those of the vendor's pages Agent Status, Call
 * Connection, Campaign Status, Campaign Preview, CDR and Click2Dial Redis notifications.
 */

function published(type: string, subType: string, payload: { readonly ref: string }): Outgoing {
  return { transport: 'pubsub', key: formatKey({ type, reference: payload.ref }), packet: { type: subType, payload } }
}

function pushed(type: string, subType: string, payload: object): Outgoing {
  return { transport: 'list', key: formatKey({ type }), packet: { type: subType, payload } }
}

/** `ref`: the agent's extension. A dialler writes one packet for each campaign that the agent is in. */
export type AgentStatusFields = {
  readonly ref: string
  readonly status: 'logging_in' | 'available' | 'busy' | 'wrapup' | 'logging_out' | 'offline'
  readonly campaign_ref?: string
}

/** An agent's status in a campaign, on `enigma:notifications:agents:<ref>`. */
export const agentStatus = (fields: AgentStatusFields): Outgoing => published('agents', 'status', fields)

/** `ref` and `agent`: the extension. `call_ref`: the same as in the later CDR. */
export type AgentCallFields = {
  readonly ref: string
  readonly agent: string
  readonly call_ref: number | string
  readonly contact_ref: string
  readonly number: string
}

/** A call that is about to be handed to an agent, on `enigma:notifications:agents:<ref>`. */
export const agentCall = (fields: AgentCallFields): Outgoing => published('agents', 'call', fields)

/** Cumulative; durations in ms. Not documented by the vendor. */
export type AgentStatsFields = {
  readonly ref: string
  readonly calls: number
  readonly talk_time: number
  readonly wrapup_time: number
  readonly idle_time: number
}

/** An agent's figures, on `enigma:notifications:agents:<ref>`. */
export const agentStats = (fields: AgentStatsFields): Outgoing => published('agents', 'stats', fields)

export type CampaignStatusFields = {
  readonly ref: string
  readonly status: 'started' | 'stopping' | 'stopped' | 'completed'
}

/** A campaign's status, on `enigma:notifications:campaigns:<ref>`. */
export const campaignStatus = (fields: CampaignStatusFields): Outgoing => published('campaigns', 'status', fields)

/** Calls are counted since the campaign's start; callees are present numbers. Not documented by the vendor. */
export type CampaignStatsFields = {
  readonly ref: string
  readonly total_calls: number
  readonly answered: number
  readonly unanswered: number
  readonly dropped: number
  readonly rejected: number
  readonly failed: number
  readonly callees_remaining: number
  readonly callees_queued: number
  readonly callees_completed: number
  readonly callees_failed: number
}

/** A campaign's figures, on `enigma:notifications:campaigns:<ref>`. */
export const campaignStats = (fields: CampaignStatsFields): Outgoing => published('campaigns', 'stats', fields)

export type DialPreviewFields = {
  readonly ref: string
  readonly callees: readonly { readonly number: string; readonly contact_ref: string }[]
}

/** The callees to be dialled next, on `enigma:notifications:campaigns:<ref>`. */
export const dialPreview = (fields: DialPreviewFields): Outgoing => published('campaigns', 'dial_preview', fields)

/** `ref`: the campaign. `extension`: null when no agent had the call. `dialed_at` in Unix s, times in s, `end_code` Q.850. */
export type CdrFields = {
  readonly ref: string
  readonly call_ref: number | string
  readonly extension: string | null
  readonly number: string
  readonly dial_number: string
  readonly contact_ref: string
  readonly dialed_at: number
  readonly end_reason: string
  readonly end_code: number
  readonly call_time: number
  readonly hold_time: number
  readonly call_dir: 'inbound' | 'outbound'
  readonly recording_url: string | null
}

/** A call detail record, on the list `enigma:notifications:campaigns`. */
export const cdr = (fields: CdrFields): Outgoing => pushed('campaigns', 'cdr', fields)

/** A call detail record of Click2Dial, on its list `enigma:notifications:cdr`. */
export const click2DialCdr = (fields: CdrFields): Outgoing => pushed('cdr', 'cdr', fields)

/** `dial_number`: the number that the caller dialled. `hold_time` in s. */
export type InboundCallFields = AgentCallFields & {
  readonly dial_number: string
  readonly hold_time: number
  readonly call_dir: 'inbound'
}

/** A Click2Dial call from outside, on the list `enigma:notifications:inbound`. */
export const inboundCall = (fields: InboundCallFields): Outgoing => pushed('inbound', 'call', fields)

export type DialerStatusFields = { readonly ref: string; readonly status: 'started' | 'stopping' | 'stopped' }

/** A dialler's status, on `enigma:notifications:dialers:<ref>`. */
export const dialerStatus = (fields: DialerStatusFields): Outgoing => published('dialers', 'status', fields)

/** A present state, as some diallers keep it in a hash: `enigma:campaigns` {ref: status}, `enigma:campaign:<ref>:agents` {extension: status}. */
export type PresentState = { readonly key: string; readonly field: string; readonly value: string }

/**
 * Returns the state that a dialler would keep when it publishes this packet; undefined for anything but the status of an agent in a campaign, or of a
 * campaign.
 */
export function toPresentState({ key, packet }: Outgoing): PresentState | undefined {
  const type = parseKey(key)?.type
  if (type === undefined || typeof packet === 'string' || packet instanceof Uint8Array || packet.type !== 'status')
    return undefined
  const { ref, status, campaign_ref } = packet.payload as Partial<AgentStatusFields>
  if (ref === undefined || status === undefined) return undefined
  const { campaigns, agentsOf } = stateKeys()
  if (canonicalType(type) === 'campaigns') return { key: campaigns, field: ref, value: status }
  if (canonicalType(type) !== 'agents' || campaign_ref === undefined) return undefined
  return { key: agentsOf(campaign_ref), field: ref, value: status }
}
