import type { Page } from './types.ts'

/** What an operator asks for: what had no route, what was put aside, and when PubSub was not heard. */

/** A notification without a route of its own. */
export type OtherRecord = {
  readonly notification_id: string
  readonly source: string
  /** `agents/unknown`: what is known of its type and sub_type. */
  readonly type: string
  readonly reason: string | null
  readonly channel: string
  readonly transport: string
  readonly received_at: string
  /** The packet as it was: its text, or its bytes in base64. */
  readonly text: string | null
  readonly base64: string | null
}

export type OtherPage = Page<OtherRecord> & {
  /** How many there were of each type, all told. */
  readonly counts: Record<string, number>
}

/** A notification that the relay put aside. */
export type ParkedRecord = {
  readonly notification_id: string
  readonly source: string
  /** The route's name: `agents-call`. */
  readonly route: string
  /** The event's type: `enigma.agents.call`. */
  readonly type: string
  /** `too_large`, `refused`; the set is open. */
  readonly reason: string
  /** One masked line. */
  readonly detail: string
  readonly received_at: string
  readonly parked_at: string
  /** Of the event. */
  readonly bytes: number
}

/** Of what the relay put aside and nobody has taken since. */
export type ParkedFilter = {
  readonly source?: string | undefined
  readonly route?: string | undefined
  /** Words in it, in upper or lower case. */
  readonly reason?: string | undefined
  /** `parked_at`, unix ms, included. */
  readonly sinceMs?: number | undefined
  readonly cursor?: string | undefined
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
}

export type ParkedPage = Page<ParkedRecord> & {
  /** How many there are, whatever the filter. */
  readonly total: number
}

/** A span in which PubSub of a source was not heard by one relay, or what was heard was given up. */
export type GapRecord = {
  readonly notification_id: string
  readonly source: string
  /** The relay's id. */
  readonly relay: string
  readonly from: string
  readonly to: string
  /** `start`, `reconnect`, `heartbeat_lost`, `output_buffer_overrun`, `journal_full`, `journal_damaged`; the set is open. */
  readonly cause: string
  readonly patterns: string[]
  /** Where the notifications of one route were given up: which, and how many. */
  readonly route: string | null
  readonly lost: number | null
}

/** A relay that was ready. */
export type RelayRecord = {
  /** Its ENIGMA_RELAY_ID. */
  readonly relay: string
  /** The ids of the sources that it reads. */
  readonly sources: string[]
  /** When its process began, and when it last said that it is ready: once a minute. */
  readonly started_at: string
  readonly ready_at: string
}

export type GapFilter = {
  readonly source?: string | undefined
  /** `to`, unix ms, included. */
  readonly sinceMs?: number | undefined
  readonly cursor?: string | undefined
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
}
