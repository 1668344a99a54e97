import type { ReplayMessage } from '../answers/index.ts'
import type { CallOptions } from './api-requests.ts'

/** The parameters of the client's methods; src/answers has their answers. A filter matches the whole text, unless its comment says otherwise. */

/** ISO 8601 with a zone, a date (midnight UTC), unix seconds, or a date object. */
export type Moment = string | Date

export type ListQuery = PageQuery & CallOptions

export type AgentsQuery = ListQuery & {
  /** Only agents of which one state fits all of these. */
  readonly campaign?: string | undefined
  readonly status?: string | undefined
  /** Only agents whose state or call may have changed unheard; false: only others. */
  readonly unsure?: boolean | undefined
  /** Have `counts` also where nothing is filtered. */
  readonly counts?: boolean | undefined
}

/** Which CDRs a replay sends. */
export type CdrFilter = {
  /** `dialed_at`, both included. */
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
  /** Only gaps that ended at or after this. */
  readonly since?: Moment | undefined
}

export type MissingQuery = ListQuery & {
  readonly campaign?: string | undefined
  /** The extension. */
  readonly agent?: string | undefined
  readonly source?: string | undefined
}

/** Which parked entries are meant. In a write, {} is all entries of functions, and those of the relay need `from: 'relay'`. */
export type ParkedFilter = {
  /** Who parked them. */
  readonly from?: 'relay' | 'functions' | undefined
  readonly source?: string | undefined
  /** `agents-call`. */
  readonly route?: string | undefined
  /** A part of the reason, in any case. */
  readonly reason?: string | undefined
  /** The `cause` of a group. */
  readonly cause?: string | undefined
  /** The HTTP status of the handler. */
  readonly status?: number | undefined
  readonly reference?: string | undefined
  /** The id of a notification. */
  readonly notification?: string | undefined
  /** `parked_at`, both included. */
  readonly since?: Moment | undefined
  readonly until?: Moment | undefined
}

export type ParkedGroupsQuery = CallOptions & ParkedFilter

export type ParkedQuery = PageQuery &
  ParkedGroupsQuery & {
    /** Have `counts`: how many entries of each route fit. */
    readonly counts?: boolean | undefined
  }

export type ParkedEntryOptions = CallOptions & {
  /** Show the content with its personal data: needs the role `operate`, and is noted in the audit log. */
  readonly reveal?: boolean | undefined
}

/** At most 1,000 ids, or a filter. */
export type ParkedSelection = { readonly ids: readonly string[] } | { readonly filter: ParkedFilter }

/** What is deleted. */
export type DeleteRequest = ParkedSelection & {
  /** Needed for entries of the relay: they have no bin, and are deleted for ever. Entries of functions go to the bin all the same. */
  readonly forever?: true | undefined
}

/** What a replay sends: parked entries, or CDRs that the read model keeps. */
export type ReplaySelection = ParkedSelection | { readonly cdrs: CdrFilter; readonly route: 'campaigns-cdr' }

export type ReplayRequest = ReplaySelection & {
  /** Sent in a second at most: 1 to 1,000. Default 50. */
  readonly rate?: number | undefined
}

/** What a relay reports of the round that it was given, and that it wants the next. */
export type NextRoundRequest = {
  /** The id of the relay. */
  readonly relay: string
  readonly round?:
    | {
        readonly job: string
        readonly round: string
        /** Entries that need not be sent again; with a reason, because their target will never take them. */
        readonly settled: readonly { readonly entry: string; readonly reason?: string }[]
        /** false: the relay is still at work, and only says so. */
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

/** What every list understands. */
export type PageQuery = {
  /** The `next` of the page before. */
  readonly cursor?: string | undefined
  /** Items in a page: 1 to 500. Default 100. */
  readonly limit?: number | undefined
}

/** The largest page: fewer requests for the same items. */
const LIMIT = 500

/**
 * Yields the items of a list one by one, and asks for a page when it comes to it.
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
    const { items, next } = await list({ limit: LIMIT, ...query, cursor } as Query & PageQuery)
    yield* items
    cursor = next
  }
}
