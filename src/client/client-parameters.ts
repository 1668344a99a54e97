import type { ReplayMessage } from '../answers/index.ts'
import type { CallOptions } from './api-requests.ts'

/*
 * The parameters of the client's methods; their answers are in src/answers. A filter matches the whole text, unless its comment says
 * otherwise.
 */

/** ISO 8601 with a zone, a date (midnight UTC), Unix seconds, or a Date. */
export type Moment = string | Date

export type ListQuery = PageQuery & CallOptions

export type AgentsQuery = ListQuery & {
  /** Only agents of which one state matches all filters. */
  readonly campaign?: string | undefined
  readonly status?: string | undefined
  /** Only agents whose state or call is unsure: it may have changed during a gap. false: only other agents. */
  readonly unsure?: boolean | undefined
  /** Return `counts` even without a filter. */
  readonly counts?: boolean | undefined
}

/** A filter of CDRs, for a replay. */
export type CdrFilter = {
  /** `dialed_at`, both inclusive. */
  readonly from?: Moment | undefined
  readonly to?: Moment | undefined
  readonly campaign?: string | undefined
  /** The extension. */
  readonly agent?: string | undefined
  readonly end_reason?: string | undefined
}

export type CdrsQuery = ListQuery &
  CdrFilter & {
    /** These two need a token that shows personal data. They are sent in the body of the request. */
    readonly contact?: string | undefined
    readonly number?: string | undefined
  }

export type GapsQuery = ListQuery & {
  readonly source?: string | undefined
  /** Only gaps that ended at or after this time. */
  readonly since?: Moment | undefined
}

export type MissingQuery = ListQuery & {
  readonly campaign?: string | undefined
  /** The extension. */
  readonly agent?: string | undefined
  readonly source?: string | undefined
}

/** A filter of parked entries. In a write, {} selects all entries of functions; entries of the relay need `from: 'relay'`. */
export type ParkedFilter = {
  /** Who parked them. */
  readonly from?: 'relay' | 'functions' | undefined
  readonly source?: string | undefined
  /** Such as `agents-call`. */
  readonly route?: string | undefined
  /** A part of the reason. Ignores case. */
  readonly reason?: string | undefined
  /** The `cause` of a group. */
  readonly cause?: string | undefined
  /** The HTTP status of the handler. */
  readonly status?: number | undefined
  readonly reference?: string | undefined
  /** The id of a notification. */
  readonly notification?: string | undefined
  /** `parked_at`, both inclusive. */
  readonly since?: Moment | undefined
  readonly until?: Moment | undefined
}

export type ParkedGroupsQuery = CallOptions & ParkedFilter

export type ParkedQuery = PageQuery &
  ParkedGroupsQuery & {
    /** Return `counts`: the number of matching entries by route. */
    readonly counts?: boolean | undefined
  }

export type ParkedEntryOptions = CallOptions & {
  /** Show the content with its personal data. Needs the role `operate`, and is recorded in the audit log. */
  readonly reveal?: boolean | undefined
}

/** At most 1,000 ids, or a filter. */
export type ParkedSelection = { readonly ids: readonly string[] } | { readonly filter: ParkedFilter }

/** The entries to delete. */
export type DeleteRequest = ParkedSelection & {
  /** Required for entries of the relay: they have no bin, and are deleted permanently. Entries of functions go to the bin in any case. */
  readonly forever?: true | undefined
}

/** The messages that a replay sends: parked entries, or CDRs in the read model. */
export type ReplaySelection = ParkedSelection | { readonly cdrs: CdrFilter; readonly route: 'campaigns-cdr' }

export type ReplayRequest = ReplaySelection & {
  /** Maximum number of messages per second: 1 to 1,000. Default 50. */
  readonly rate?: number | undefined
}

/** A relay's report on its round, and its request for the next one. */
export type NextRoundRequest = {
  /** The id of the relay. */
  readonly relay: string
  readonly round?:
    | {
        readonly job: string
        readonly round: string
        /** Entries that need not be sent again. `reason` says why the target will never accept an entry. */
        readonly settled: readonly { readonly entry: string; readonly reason?: string }[]
        /** true: the relay has sent the whole round. false: it is still sending. */
        readonly done: boolean
      }
    | undefined
}

export type ReplayMessagesQuery = ListQuery & {
  /** Only messages with this outcome. */
  readonly outcome?: ReplayMessage['outcome'] | undefined
}

export type ChangesQuery = CallOptions & {
  readonly after?: string | undefined
  readonly type?: string | undefined
  readonly reference?: string | undefined
}

/** The parameters of every list. */
export type PageQuery = {
  /** The `next` of the previous page. */
  readonly cursor?: string | undefined
  /** Items per page: 1 to 500. Default 100. */
  readonly limit?: number | undefined
}

/** The largest page, which needs the fewest requests. */
const MAX_LIMIT = 500

/**
 * Yields the items of a list one by one, and requests each page when it is needed.
 *
 * @example
 * for await (const cdr of allItems(client.cdrs, { campaign: '7', from: '2026-01-31' })) console.log(cdr.end_reason)
 */
export async function* allItems<Query extends PageQuery, Item>(
  list: (query?: Query) => Promise<{ readonly items: readonly Item[]; readonly next: string | null }>,
  query?: Query,
): AsyncGenerator<Item, void, undefined> {
  let cursor: string | null | undefined = query?.cursor
  while (cursor !== null) {
    const { items, next } = await list({ limit: MAX_LIMIT, ...query, cursor } as Query & PageQuery)
    yield* items
    cursor = next
  }
}
