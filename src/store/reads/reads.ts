import type { Reads } from '../types.ts'
import { readAgent, readAgents } from './agents.ts'
import { readCampaign, readCampaigns, readDialers, readPreview } from './campaigns.ts'
import { readCdr, readCdrs } from './cdrs.ts'
import { readGaps } from './gaps.ts'
import { readKind } from './kinds.ts'
import { readOther } from './other.ts'
import { findParked, readParked, readParkedEntry, readParkedMessages } from './parked.ts'
import { readRelays } from './relays.ts'
import { readReplay, readReplays } from './replays.ts'
import type { ReadOptions } from './replies.ts'

export function createReads(options: ReadOptions): Reads {
  return {
    agents: (filter) => readAgents(options, filter),
    agent: (ref) => readAgent(options, ref),
    campaigns: (page) => readCampaigns(options, page),
    campaign: (ref) => readCampaign(options, ref),
    preview: (ref) => readPreview(options, ref),
    cdrs: (filter) => readCdrs(options, filter),
    cdr: (id) => readCdr(options, id),
    other: (page) => readOther(options, page),
    parked: (filter) => readParked(options, filter),
    parkedEntry: (id) => readParkedEntry(options, id),
    parkedMessages: (ids, job) => readParkedMessages(options, ids, job),
    findParked: (filter, place) => findParked(options, filter, place),
    replays: (page) => readReplays(options, page),
    replay: async (id) => (await readReplay(options, id))?.replay ?? null,
    replayProgress: (id) => readReplay(options, id),
    kind: (type, subType, ref) => readKind(options, type, subType, ref),
    gaps: (filter) => readGaps(options, filter),
    relays: () => readRelays(options),
    dialers: () => readDialers(options),
    ping: async () => {
      await options.upstash.readAll([['PING']])
    },
  }
}
