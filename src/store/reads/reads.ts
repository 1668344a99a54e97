import { readOther, readKind } from './latest-reads.ts'
import { type ParkedFilter, findParked, readBin, readParked, readParkedCounts, readParkedEntry, readParkedMessages, readPlacesOf } from './parked-reads.ts'
import type { ParkedQuery } from '../effects/park-effects.ts'
import { type ReplayMessagesRequest, readAudit, readOpenEntries, readReplay, readReplayDetail, readReplays, readReplaysOfRelays } from './replay-reads.ts'
import { type MissingFilter, type GapFilter, countMissing, findAwaited, readMissing, readGaps, readRelays } from './loss-reads.ts'
import { type ChangesFilter, readChanges, readCommits } from './change-reads.ts'
import { type CdrQuery, type CdrFilter, findCdrs, readCdr, readCdrMessages, readCdrs } from './cdr-reads.ts'
import { type AgentFilter, readAgent, readAgents } from './agent-reads.ts'
import type { PageRequest, ReadOptions } from './list-pages.ts'
import { readCampaign, readCampaigns, readDialers, readPreview, readPresentStates } from './campaign-reads.ts'
import { findOfRelay, planReplay, readParkedGroups } from './parked-causes.ts'
import { createWall } from './wall-reads.ts'

/** The reads of the read model. @throws StoreError, also with code `store.cursor.invalid` */
export type Reads = ReturnType<typeof createReads>

export function createReads(options: ReadOptions) {
  return {
    agents: (filter?: AgentFilter) => readAgents(options, filter),
    agent: (ref: string) => readAgent(options, ref),
    campaigns: (page?: PageRequest) => readCampaigns(options, page),
    campaign: (ref: string) => readCampaign(options, ref),
    /** Who will be dialled next; null when the dialler has sent nothing lately. */
    preview: (ref: string) => readPreview(options, ref),
    /** Newest first by `dialed_at`. */
    cdrs: (filter?: CdrFilter) => readCdrs(options, filter),
    cdr: (id: string) => readCdr(options, id),
    /** The ids of the next CDRs that fit, oldest first, behind a place; '' is the beginning, null the end. */
    findCdrs: (query: CdrQuery, place: string) => findCdrs(options, query, place),
    /** CDRs as the relay sent them; those that are kept no longer are left out. */
    cdrMessages: (ids: readonly string[], to: Parameters<typeof readCdrMessages>[2]) =>
      readCdrMessages(options, ids, to),
    dialers: () => readDialers(options),
    /** What a function recorded with `latest` for a reference; null when there is nothing. */
    kind: (type: string, subType: string, ref: string) => readKind(options, type, subType, ref),
    /** What had no route of its own, newest first. */
    other: (page?: PageRequest) => readOther(options, page),
    /** Newest first by `parked_at`. A cursor is made of that (unix ms) and the id. */
    parked: (filter?: ParkedFilter) => readParked(options, filter),
    parkedEntry: (id: string) => readParkedEntry(options, id),
    /** Entries of functions as these take them again, in the given order; those that are gone, or that this replay has not, are left out. */
    parkedMessages: (ids: readonly string[], job?: string) => readParkedMessages(options, ids, job),
    /** The ids of the next entries that fit, oldest first, behind a place; '' is the beginning, null the end. */
    findParked: (filter: ParkedQuery, place: string) => findParked(options, filter, place),
    /** Which of these entries, or of those that fit, are the relay's, oldest first, each with its source. */
    ofRelay: (asked: Parameters<typeof findOfRelay>[1]) => findOfRelay(options, asked),
    /** Newest first. */
    replays: (page?: PageRequest) => readReplays(options, page),
    replay: async (id: string) => (await readReplay(options, id))?.replay ?? null,
    /** With the outcome of each of its messages. */
    replayDetail: (id: string, page?: ReplayMessagesRequest) => readReplayDetail(options, id, page),
    /** What a replay would do. */
    replayPlan: (asked: Parameters<typeof planReplay>[1]) => planReplay(options, asked),
    /** By cause and by route, of the newest 20,000. */
    parkedGroups: (filter?: ParkedQuery) => readParkedGroups(options, filter),
    /** How many entries there are, and how many of functions are removed within so many ms. */
    parkedCounts: (withinMs: number) => readParkedCounts(options, withinMs),
    /** Whether these entries are parked, in the bin, or neither. */
    placesOf: (ids: readonly string[]) => readPlacesOf(options, ids),
    /** What was deleted, the latest first. */
    bin: (page?: PageRequest) => readBin(options, page),
    /** Who wrote or revealed what, the latest first. */
    audit: (page?: PageRequest) => readAudit(options, page),
    /** A replay with the state that its steps go on from. */
    replayProgress: (id: string) => readReplay(options, id),
    /** Replays for relays to drive, oldest first. */
    replaysOfRelays: () => readReplaysOfRelays(options),
    /** Which of these entries of a replay have no outcome. */
    openEntries: (job: string, ids: readonly string[]) => readOpenEntries(options, job, ids),
    /** What changed behind a cursor, in order. */
    changes: (filter?: ChangesFilter) => readChanges(options, filter),
    /** The same commit by commit, each with its own cursor. */
    commits: (after: string) => readCommits(options, after),
    /** The states of an agent in its campaigns, or the one of a campaign, by one command. */
    presentStates: (of: 'agents' | 'campaigns', ref: string) => readPresentStates(options, of, ref),
    /** Newest first by `to`. */
    gaps: (filter?: GapFilter) => readGaps(options, filter),
    relays: () => readRelays(options),
    /** Calls whose CDR is missing, the latest handed over first. */
    missing: (filter?: MissingFilter) => readMissing(options, filter),
    missingCount: () => countMissing(options),
    /** Calls that their agents left so long (ms) ago, and whose CDR has not come. */
    awaitedCalls: (waitMs: number) => findAwaited(options, waitMs),
    /** The call centre now: one round trip, the first time two. */
    wall: createWall(options),
    /** Resolves when the database answers. */
    ping: async (): Promise<void> => {
      await options.upstash.readAll([['PING']])
    },
  }
}
