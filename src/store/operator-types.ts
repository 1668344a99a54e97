import type { Page, PageRequest } from './types.ts'

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

/** A notification, or a message that could not be read, that the relay or a function parked. */
export type ParkedRecord = {
  /** Of the entry: for `GET /parked/:id` and replays. */
  readonly id: string
  readonly from: 'relay' | 'functions'
  /** None when it cannot be read. */
  readonly notification_ids: readonly string[]
  readonly source: string | null
  /** The route's name: `agents-call`. */
  readonly route: string
  /** The event's type: `enigma.agents.call`. */
  readonly type: string | null
  readonly subject: string | null
  /** One masked line; of the relay `too_large`, `refused`. The set is open. */
  readonly reason: string
  /** One masked line of the relay's. */
  readonly detail: string | null
  /** The handler's HTTP status, if it answered. */
  readonly status: number | null
  /** `agents/call` */
  readonly handler: string | null
  /** How often it was delivered to the function before it was parked. */
  readonly attempts: number | null
  readonly received_at: string | null
  readonly first_attempt_at: string | null
  readonly parked_at: string
  /** Of the event. */
  readonly bytes: number
  /** Of the SQS message in which it came. */
  readonly message_id: string | null
  /** The replay that is sending it again. */
  readonly replay: string | null
}

export type ParkedDetail = ParkedRecord & {
  /** The latest 50, oldest first, over all of its replays. */
  readonly failed_attempts: readonly {
    readonly at: string
    readonly attempt: number
    readonly status: number | null
    readonly reason: string
  }[]
}

/** A parked entry as SQS takes it again. */
export type ParkedMessage = {
  readonly id: string
  /** The name of its queue: `enigma-agents-call.fifo`. */
  readonly queue: string
  readonly body: string
  readonly contentEncoding?: string
  readonly messageGroupId: string
}

/** Which parked entries are meant. */
export type ParkedQuery = {
  readonly from?: 'relay' | 'functions' | undefined
  readonly source?: string | undefined
  readonly route?: string | undefined
  /** Words in it, in upper or lower case. */
  readonly reason?: string | undefined
  readonly status?: number | undefined
  /** `parked_at`, unix ms, both included. */
  readonly sinceMs?: number | undefined
  readonly untilMs?: number | undefined
}

export type ParkedFilter = ParkedQuery & {
  readonly cursor?: string | undefined
  /** 1 to 500. Default 100. */
  readonly limit?: number | undefined
}

export type ParkedPage = Page<ParkedRecord> & {
  /** How many there are, whatever the filter. */
  readonly totals: { readonly relay: number; readonly functions: number }
}

/** How parked entries are sent again. */
export type ReplayRecord = {
  readonly id: string
  /** `running`: it has entries to send, or waits for their outcome. */
  readonly state: 'running' | 'done' | 'stopped'
  /** The name of the token that asked for it. */
  readonly operator: string
  readonly created_at: string
  /** Entries a second at most. */
  readonly rate: number
  /** Which entries; null where their ids were given. `untilMs` is when the replay was asked for, at the latest. */
  readonly filter: ParkedQuery | null
  readonly counts: {
    /** Found, and not sent yet. */
    readonly waiting: number
    /** Sent, and their function has not finished them yet. */
    readonly sent: number
    readonly handled: number
    /** Parked once more. */
    readonly failed_again: number
    /** Gone, or in another replay. */
    readonly skipped: number
  }
}

/** A replay with the state that its steps go on from. */
export type ReplayProgress = {
  readonly replay: ReplayRecord
  /** Where the search for entries goes on; null when all are found. */
  readonly place: string | null
  /** The entries that are being sent, and in which round. */
  readonly sending: readonly string[]
  readonly round: string
  /** How often it went on, and when it last did (unix ms). */
  readonly steps: number
  readonly atMs: number
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

/** The reads for operators. @throws StoreError, also with code `store.cursor.invalid` */
export type OperatorReads = {
  /** Newest first. */
  other: (page?: PageRequest) => Promise<OtherPage>
  /** Newest first by `parked_at`. A cursor is made of that (unix ms) and the id. */
  parked: (filter?: ParkedFilter) => Promise<ParkedPage>
  parkedEntry: (id: string) => Promise<ParkedDetail | null>
  /** Entries of functions as SQS takes them again, in the given order; those that are gone, or that this replay has not, are left out. */
  parkedMessages: (ids: readonly string[], job?: string) => Promise<ParkedMessage[]>
  /** The ids of the next entries that fit, oldest first, behind a place; '' is the beginning, null the end. */
  findParked: (filter: ParkedQuery, place: string) => Promise<{ readonly ids: string[]; readonly place: string | null }>
  /** Newest first. */
  replays: (page?: PageRequest) => Promise<Page<ReplayRecord>>
  replay: (id: string) => Promise<ReplayRecord | null>
  /** A replay with the state that its steps go on from. */
  replayProgress: (id: string) => Promise<ReplayProgress | null>
  /** Newest first by `to`. */
  gaps: (filter?: GapFilter) => Promise<Page<GapRecord>>
  relays: () => Promise<RelayRecord[]>
}
