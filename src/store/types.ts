import type { OperatorReads } from './operator-types.ts'

/**
 * What the read model keeps and what its reads return. References are strings everywhere, since some are larger than any
 * number; times are ISO 8601 in UTC. Names follow the dialler's fields.
 */

/** A page of a list. `next` is an opaque cursor for the page behind it, or null at the end. */
export type Page<T> = { readonly items: T[]; readonly next: string | null }

/** A state that the former one cannot lead to: a packet was lost between them. */
export type Unexpected = { readonly from: string; readonly to: string; readonly at: string }

/** An agent's state in one campaign of one source. An agent may have a different one in each. */
export type AgentState = {
  readonly source: string
  /** Null where the dialler names none. */
  readonly campaign_ref: string | null
  readonly status: string
  readonly since: string
  /** The last state that could not be, if there was one, and how many there were. */
  readonly unexpected: Unexpected | null
  readonly unexpected_count: number
  /** PubSub was not heard for a while since: it may have changed unheard. */
  readonly unsure: boolean
}

/** A call handed to an agent. */
export type Call = {
  readonly source: string
  readonly call_ref: string | null
  readonly contact_ref: string | null
  readonly number: string | null
  readonly dial_number: string | null
  readonly campaign_ref: string | null
  /** The `agent` field as the dialler sent it. */
  readonly agent: string | null
  readonly direction: 'inbound' | 'outbound'
  readonly received_at: string
  /** Came too late to be shown: never the current call. */
  readonly stale: boolean
  readonly notification_id: string
}

export type StatsPoint = {
  readonly at: string
  readonly values: Record<string, number>
  /** A cumulative value went down: the dialler began to count anew. */
  readonly reset: boolean
}

export type Stats = {
  readonly source: string
  /** Null where the dialler names none; of a campaign's own stats always. */
  readonly campaign_ref: string | null
  readonly at: string
  readonly values: Record<string, number>
  /** How often the dialler began to count anew. */
  readonly resets: number
  /** The latest points, oldest first. */
  readonly series: StatsPoint[]
}

export type Agent = {
  readonly ref: string
  readonly states: AgentState[]
  /** What belongs on the agent's screen now. */
  readonly call: Call | null
  /**
   * The call may have ended: PubSub was not heard for a while since, or a CDR came that is of this call or of an earlier try, or a state
   * of a campaign that may be the call's.
   */
  readonly call_unsure: boolean
}

export type AgentDetail = Agent & {
  /** The latest calls, newest first, stale ones among them. */
  readonly calls: Call[]
  /** One for each source and campaign. */
  readonly stats: Stats[]
}

export type StateChange = {
  readonly status: string
  readonly at: string
  readonly source: string
  readonly notification_id: string
}

export type Campaign = {
  readonly ref: string
  readonly status: string | null
  readonly since: string | null
  readonly source: string | null
  /** PubSub was not heard for a while since: the state may have changed unheard. */
  readonly unsure: boolean
}

export type Callee = {
  readonly number: string | null
  readonly contact_ref: string | null
  readonly [field: string]: unknown
}

/** Which agents are asked for. An agent fits by one of its states. */
export type AgentFilter = PageRequest & {
  readonly campaign?: string | undefined
  readonly status?: string | undefined
  /** Whether the state, or the call, may have changed unheard. */
  readonly unsure?: boolean | undefined
  /** Counts also where nothing is filtered. */
  readonly counts?: boolean | undefined
}

export type AgentsPage = Page<Agent> & {
  /** Status → number of states, of all that fit the filter whatever their status. Absent without a filter, unless `counts` was asked for. */
  readonly counts?: Record<string, number>
}

/** Counts and averages of today's CDRs, by `dialed_at` in the time zone of the read model. */
export type Today = {
  /** When the day began. */
  readonly since: string
  readonly cdrs: number
  /** End reason → how many. */
  readonly end_reasons: Record<string, number>
  /** CDRs with an extension and a `call_time` above 0. */
  readonly answered: number
  /** Of those, s, to a tenth; null where there are none. */
  readonly average_talk_time: number | null
  readonly average_hold_time: number | null
}

export type CampaignOverview = Campaign & {
  readonly today: Today
  /** Status → how many agents have it in this campaign. */
  readonly agents: Record<string, number>
}

/** Who will be dialled next. */
export type Preview = { readonly at: string; readonly callees: Callee[] }

/** How many CDRs ended how, per hour. */
export type HourCount = { readonly hour: string; readonly end_reason: string; readonly count: number }

export type CampaignDetail = Campaign & {
  readonly today: Today
  /** The latest changes, newest first. */
  readonly history: StateChange[]
  /** One for each source. */
  readonly stats: Stats[]
  /** By hour, then end reason. */
  readonly counts: HourCount[]
}

export type CdrRecord = {
  /** For `GET /cdrs/:id`. */
  readonly id: string
  readonly source: string
  /** Null where the dialler sent none. */
  readonly call_ref: string | null
  /** Where it is not known, when the CDR was received: then `unsure` names it. */
  readonly dialed_at: string
  readonly campaign_ref: string | null
  readonly extension: string | null
  readonly contact_ref: string | null
  readonly number: string | null
  readonly dial_number: string | null
  readonly end_reason: string | null
  readonly end_code: number | null
  readonly call_time: number | null
  readonly hold_time: number | null
  readonly call_dir: string | null
  readonly recording_url: string | null
  readonly received_at: string
  /** The fields that could not be read with certainty: null, or the best guess. */
  readonly unsure: string[]
  /** Another CDR with other content came under the same key. */
  readonly revised: boolean
}

export type CdrDetail = CdrRecord & {
  /** What else came under the same key, newest first. */
  readonly revisions: Omit<CdrRecord, 'revised'>[]
  /** The payload with every field that the dialler sent. */
  readonly payload: Record<string, unknown>
}

export type CdrFilter = {
  /** `dialed_at`, unix ms, both included. */
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly campaign?: string | undefined
  readonly agent?: string | undefined
  readonly contact?: string | undefined
  /** The subscriber's or the dialled number. */
  readonly number?: string | undefined
  readonly endReason?: string | undefined
  readonly cursor?: string | undefined
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
}

export type PageRequest = { readonly cursor?: string | undefined; readonly limit?: number | undefined }

/** What a function recorded with `latest`. */
export type KindValue = {
  readonly notification_id: string
  readonly source: string
  readonly received_at: string
  /** Came too late to be shown as live. */
  readonly stale: boolean
  readonly payload: unknown
}

/** The latest payload of a kind for a reference. */
export type Kind = {
  readonly ref: string
  /** PubSub was not heard for a while since: there may be a newer one. */
  readonly unsure: boolean
  readonly latest: KindValue
  /** Those before it, newest first. */
  readonly history: KindValue[]
}

/** The reads of the read model. @throws StoreError, also with code `store.cursor.invalid` */
export type Reads = OperatorReads & {
  agents: (filter?: AgentFilter) => Promise<AgentsPage>
  agent: (ref: string) => Promise<AgentDetail | null>
  campaigns: (page?: PageRequest) => Promise<Page<CampaignOverview>>
  campaign: (ref: string) => Promise<CampaignDetail | null>
  /** Who will be dialled next; null when the dialler has sent nothing lately. */
  preview: (ref: string) => Promise<Preview | null>
  /** Newest first by `dialed_at`. */
  cdrs: (filter?: CdrFilter) => Promise<Page<CdrRecord>>
  cdr: (id: string) => Promise<CdrDetail | null>
  dialers: () => Promise<Campaign[]>
  /** What a function recorded with `latest` for a reference; null when there is nothing. */
  kind: (type: string, subType: string, ref: string) => Promise<Kind | null>
  /** Resolves when the database answers. */
  ping: () => Promise<void>
}
