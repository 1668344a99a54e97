import type { ParkedQuery } from '../effects/park-effects.ts'
import { type AgentFilter, readAgent, readAgents } from './agent-reads.ts'
import { readCampaign, readCampaigns, readDialers, readPresentStates, readPreview } from './campaign-reads.ts'
import { type CdrFilter, type CdrQuery, findCdrs, readCdr, readCdrMessages, readCdrs } from './cdr-reads.ts'
import { type ChangesFilter, readChanges, readCommits } from './change-reads.ts'
import { readKind, readOther } from './latest-reads.ts'
import type { PageRequest, ReadOptions } from './list-pages.ts'
import {
  countMissing,
  findAwaited,
  type GapFilter,
  type MissingFilter,
  readGaps,
  readMissing,
  readRelays,
} from './loss-reads.ts'
import { findOfRelay, planReplay, readParkedCounts, readParkedGroups } from './parked-causes.ts'
import {
  findParked,
  type ParkedFilter,
  readBin,
  readParked,
  readParkedEntry,
  readParkedMessages,
  readPlacesOf,
} from './parked-reads.ts'
import {
  readAudit,
  readOpenEntries,
  readReplay,
  readReplayDetail,
  readReplays,
  readReplaysOfRelays,
  type ReplayMessagesRequest,
} from './replay-reads.ts'
import { createWall } from './wall-reads.ts'

/** The reads of the read model. @throws StoreError, also with code `store.cursor.invalid` */
export type Reads = ReturnType<typeof createReads>

export function createReads(options: ReadOptions) {
  return {
    agents: (filter?: AgentFilter) => readAgents(options, filter),
    agent: (ref: string) => readAgent(options, ref),
    campaigns: (page?: PageRequest) => readCampaigns(options, page),
    campaign: (ref: string) => readCampaign(options, ref),
    /** The contacts that will be dialled next; null if the dialler has sent no list recently. */
    preview: (ref: string) => readPreview(options, ref),
    /** Newest first by `dialed_at`. */
    cdrs: (filter?: CdrFilter) => readCdrs(options, filter),
    cdr: (id: string) => readCdr(options, id),
    /** The ids of the next CDRs that match, oldest first, after a place; '' is the beginning, null the end. */
    findCdrs: (query: CdrQuery, place: string) => findCdrs(options, query, place),
    /** CDRs as the relay sent them, without expired CDRs. */
    cdrMessages: (ids: readonly string[], to: Parameters<typeof readCdrMessages>[2]) =>
      readCdrMessages(options, ids, to),
    dialers: () => readDialers(options),
    /** The values that a function recorded with `latest` for a reference; null if there are none. */
    kind: (type: string, subType: string, ref: string) => readKind(options, type, subType, ref),
    /** Notifications without a route, newest first. */
    other: (page?: PageRequest) => readOther(options, page),
    /** Newest first by `parked_at`. A cursor consists of that (Unix ms) and the id. */
    parked: (filter?: ParkedFilter) => readParked(options, filter),
    parkedEntry: (id: string) => readParkedEntry(options, id),
    /**
     * Entries of functions in the form that their functions accept, in the given order, without those that no longer exist or do not belong
     * to this replay.
     */
    parkedMessages: (ids: readonly string[], job?: string) => readParkedMessages(options, ids, job),
    /** The ids of the next entries that match, oldest first, after a place; '' is the beginning, null the end. */
    findParked: (filter: ParkedQuery, place: string) => findParked(options, filter, place),
    /** The entries of the relay among these, or among the entries that match, oldest first, each with its source. */
    ofRelay: (asked: Parameters<typeof findOfRelay>[1]) => findOfRelay(options, asked),
    /** Newest first. */
    replays: (page?: PageRequest) => readReplays(options, page),
    replay: async (id: string) => (await readReplay(options, id))?.replay ?? null,
    /** With the outcome of each of its messages. */
    replayDetail: (id: string, page?: ReplayMessagesRequest) => readReplayDetail(options, id, page),
    /** Returns the expected outcome of a replay: a dry run. */
    replayPlan: (asked: Parameters<typeof planReplay>[1]) => planReplay(options, asked),
    /** By cause and by route, of the newest 20,000 entries. */
    parkedGroups: (filter?: ParkedQuery) => readParkedGroups(options, filter),
    /** The number of entries, and the number of entries of functions that expire within `withinMs`. */
    parkedCounts: (withinMs: number) => readParkedCounts(options, withinMs),
    /** Whether each of these entries is parked, in the bin, or neither. */
    placesOf: (ids: readonly string[]) => readPlacesOf(options, ids),
    /** Deleted entries, the latest first. */
    bin: (page?: PageRequest) => readBin(options, page),
    /** The audit log, the latest first. */
    audit: (page?: PageRequest) => readAudit(options, page),
    /** A replay with the state from which its steps continue. */
    replayProgress: (id: string) => readReplay(options, id),
    /** Replays that relays drive, oldest first. */
    replaysOfRelays: () => readReplaysOfRelays(options),
    /** The entries of a replay, among these, that have no outcome. */
    openEntries: (job: string, ids: readonly string[]) => readOpenEntries(options, job, ids),
    /** The changes after a cursor, in order. */
    changes: (filter?: ChangesFilter) => readChanges(options, filter),
    /** The same by commit, each with its own cursor. */
    commits: (after: string) => readCommits(options, after),
    /** The states of an agent in its campaigns, or the state of a campaign, in one command. */
    presentStates: (of: 'agents' | 'campaigns', ref: string) => readPresentStates(options, of, ref),
    /** Newest first by `to`. */
    gaps: (filter?: GapFilter) => readGaps(options, filter),
    relays: () => readRelays(options),
    /** Calls without a CDR, the latest call first. */
    missing: (filter?: MissingFilter) => readMissing(options, filter),
    missingCount: () => countMissing(options),
    /** Calls that their agents left at least `waitMs` ago and whose CDR has not arrived. */
    awaitedCalls: (waitMs: number) => findAwaited(options, waitMs),
    /** The current state of the call centre: one round trip, two the first time. */
    wall: createWall(options),
    /** Resolves when the database answers. */
    ping: async (): Promise<void> => {
      await options.upstash.readAll([['PING']])
    },
  }
}
