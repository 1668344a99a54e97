/**
 * What the reads of the read model are asked for. What they return is in src/answers. References are strings everywhere, since some are larger
 * than any number; times are ISO 8601 in UTC.
 */

import type { Change, MissingCdr, ReplayMessage } from '../answers/index.ts'

/** A page of a list. `next` is an opaque cursor for the page behind it, or null at the end. */
export type Page<T> = { items: T[]; next: string | null }

export type PageRequest = {
  readonly cursor?: string | undefined
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
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

export type CdrFilter = PageRequest & CdrQuery

export type CdrQuery = {
  /** `dialed_at`, unix ms, both included. */
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly campaign?: string | undefined
  readonly agent?: string | undefined
  readonly contact?: string | undefined
  /** The subscriber's or the dialled number. */
  readonly number?: string | undefined
  readonly endReason?: string | undefined
  /** Only those that were written until then (unix ms): later ones are not meant. */
  readonly keptUntilMs?: number | undefined
}

/** Which calls count as abandoned, and of how many. */
export type AbandonRule = {
  /** The end reasons of CDRs without an extension. */
  readonly reasons: readonly string[]
  /** `answered`: of those and the answered ones. `cdrs`: of all. */
  readonly of: 'answered' | 'cdrs'
  /** A rate above it is too high: 0.03. */
  readonly threshold: number
}

export type ChangesFilter = {
  /** The `cursor` of a former answer. Absent: only the present cursor is asked for. */
  readonly after?: string | undefined
  /** `agents` or `agents/status`. */
  readonly type?: string | undefined
  readonly reference?: string | undefined
}

/** The changes that one commit made, in order. Its cursor is the place behind it. */
export type Commit = { readonly cursor: string; readonly changes: readonly Change[] }

/** Commits behind a cursor. As in `ChangesPage`, `more` says that there are more, and `reset` that there is no telling what changed. */
export type CommitsPage = {
  readonly commits: readonly Commit[]
  readonly cursor: string
  readonly more: boolean
  readonly reset: boolean
}

/** A state that an agent or a campaign has now. */
export type PresentState = {
  readonly source: string
  /** Of an agent; null of a campaign. */
  readonly campaign_ref: string | null
  readonly status: string
  /** When it was first heard. ISO 8601. */
  readonly since: string
  readonly unsure: boolean
}

export type GapFilter = PageRequest & {
  readonly source?: string | undefined
  /** `to`, unix ms, included. */
  readonly sinceMs?: number | undefined
}

export type MissingFilter = PageRequest & {
  readonly source?: string | undefined
  readonly agent?: string | undefined
  readonly campaign?: string | undefined
}

/** A call whose CDR is due and has not come. */
export type AwaitedCall = {
  /** What orders its notification. */
  readonly stamp: string
  /** Its reference as it is in keys. */
  readonly callRef: string
  /** Unix ms. */
  readonly handedMs: number
  readonly record: Omit<MissingCdr, 'listed_at'>
}

/** Which parked entries are meant. */
export type ParkedQuery = {
  readonly from?: 'relay' | 'functions' | undefined
  readonly source?: string | undefined
  readonly route?: string | undefined
  /** Words in it, in upper or lower case. */
  readonly reason?: string | undefined
  /** The cause of a group. */
  readonly cause?: string | undefined
  readonly status?: number | undefined
  /** The event's `subject`. */
  readonly reference?: string | undefined
  /** The id of a notification. */
  readonly notification?: string | undefined
  /** `parked_at`, unix ms, both included. */
  readonly sinceMs?: number | undefined
  readonly untilMs?: number | undefined
}

export type ParkedFilter = ParkedQuery & PageRequest

/** A page of the messages of a replay. */
export type ReplayMessagesRequest = PageRequest & {
  readonly outcome?: ReplayMessage['outcome'] | undefined
}

/** A parked entry of the relay, and the source on whose list it is. */
export type OfRelay = { readonly id: string; readonly source: string }

/** A parked entry, or a CDR, as its function takes it again. */
export type ParkedMessage = {
  readonly id: string
  /** `agents-call` */
  readonly route: string
  /** The name of its queue: `enigma-agents-call.fifo`. Absent: it came by HTTP. */
  readonly queue?: string
  readonly body: string
  readonly contentEncoding?: string
  /** The lane in which it keeps its order. */
  readonly messageGroupId: string
}
