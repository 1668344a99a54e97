import type { AgentDetail, AgentsPage, Asked, AuditPage, BinPage, CampaignDetail, CampaignsPage, CdrDetail, CdrsPage, ChangesPage, Config, Deleted, Dialers, Expected, GapsPage, Health, Kind, MissingPage, Moved, NextRound, OtherPage, ParkedDetail, ParkedGroups, ParkedPage, Preview, Queues, Relays, Replay, ReplayDetail, ReplayPlan, ReplaysPage, Wall, Confirmation } from '../answers/index.ts'
import { followChanges, type Changes, type ChangesOptions } from './follow-changes.ts'
import type {
  AgentsQuery,
  CdrsQuery,
  ChangesQuery,
  DeleteRequest,
  GapsQuery,
  ListQuery,
  MissingQuery,
  NextRoundRequest,
  ParkedEntryOptions,
  ParkedGroupsQuery,
  ParkedQuery,
  ReplayMessagesQuery,
  ReplayRequest,
  ReplaySelection,
} from './client-parameters.ts'
import { createRequests, formatPath, type Call, type CallOptions, type RequestOptions, pause, type Requests } from './api-requests.ts'
import { ApiProblem } from './api-problem.ts'

export type ClientOptions = RequestOptions

export type Client = ReturnType<typeof createClient>

/**
 * Makes a client of the API: a method for each of its addresses (docs/read-api.md). They reject with `ApiProblem`, or with the reason of their signal.
 * Lists answer a page; `allItems` goes through all of them.
 *
 * @example
 * const client = createClient({ url: 'https://api.example.com', token: 'c0ffee…' })
 * const { call } = await client.agent('1002')
 */
export function createClient(options: ClientOptions) {
  const requests = createRequests(options)
  const { ask, askOnce } = requests

  /** Reads, and tries again while the API is away. */
  const read = async <Answer>(path: readonly string[], { signal, timeoutMs, ...query }: CallOptions = {}) =>
    ask<Answer>({ path: formatPath(path), query }, { signal, timeoutMs })
  /** Writes once: nobody knows whether a write whose answer was lost has been done. */
  const write = async <Answer>(path: readonly string[], body: object | undefined, own: CallOptions = {}) =>
    askOnce<Answer>({ path: formatPath(path), method: 'POST', ...(body === undefined ? {} : { body }) }, own)

  return {
    /** Agents, each with its states and its current call. */
    agents: (query?: AgentsQuery) => read<AgentsPage>(['agents'], query),
    /** An agent with its latest calls and its counters. */
    agent: (ref: string, own?: CallOptions) => read<AgentDetail>(['agents', ref], own),
    /** Campaigns, each with its agents by status and what its CDRs of today come to. */
    campaigns: (query?: ListQuery) => read<CampaignsPage>(['campaigns'], query),
    /** A campaign with its history and its counters. */
    campaign: (ref: string, own?: CallOptions) => read<CampaignDetail>(['campaigns', ref], own),
    /** Who will be dialled next. */
    preview: (ref: string, own?: CallOptions) => read<Preview>(['campaigns', ref, 'preview'], own),
    /** CDRs, newest first. A number or a contact is sent in the body, never in an address. */
    cdrs: ({ signal, timeoutMs, ...query }: CdrsQuery = {}) => {
      const path = formatPath(['cdrs'])
      const call: Call =
        query.number === undefined && query.contact === undefined
          ? { path, query }
          : { path: `${path}/search`, method: 'POST', isRead: true, body: query }
      return ask<CdrsPage>(call, { signal, timeoutMs })
    },
    /** A CDR with every field that the dialler sent, and its revisions. */
    cdr: (id: string, own?: CallOptions) => read<CdrDetail>(['cdrs', id], own),
    dialers: (own?: CallOptions) => read<Dialers>(['dialers'], own),
    /** Time spans in which Pub/Sub could not be heard, newest first. */
    gaps: (query?: GapsQuery) => read<GapsPage>(['gaps'], query),
    /** Calls that their agents have left, and whose CDR has not come, newest first. */
    missing: (query?: MissingQuery) => read<MissingPage>(['missing'], query),
    relays: (own?: CallOptions) => read<Relays>(['relays'], own),
    /** How many messages each queue of the stack holds. */
    queues: (own?: CallOptions) => read<Queues>(['queues'], own),
    /** The latest value of a kind of your own, and those before it. */
    kind: (type: string, subType: string, ref: string, own?: CallOptions) =>
      read<Kind>(['kinds', type, subType, ref], own),
    /** Notifications without a route, newest first. */
    other: (query?: ListQuery) => read<OtherPage>(['other'], query),
    /** The call centre now, in one answer. */
    wall: (own?: CallOptions) => read<Wall>(['wall'], own),
    /** What this API offers, and what the token may do. */
    config: (own?: CallOptions) => read<Config>(['config'], own),
    /** Whether the API and the read model work: an answer, or a problem. */
    health: (own?: CallOptions) => read<Health>(['health'], own),
    /** The OpenAPI document. */
    openApi: (own?: CallOptions) => read<Record<string, unknown>>(['openapi.json'], own),

    /** Changes as they happen, whichever way this API has for it. Ends with its signal, or when the loop is left. */
    changes: (own: ChangesOptions = {}): AsyncGenerator<Changes, void, undefined> => followChanges(requests, own),
    /** One page of what `changes` follows. */
    changesPage: (query?: ChangesQuery) => read<ChangesPage>(['changes'], query),

    /**
     * Call it before you send a request to the dialler, which answers before the work is done; then wait for the confirmation (docs/confirmations.md).
     *
     * @example
     * const confirmed = await client.expect('campaigns/7', 'started')
     * await fetch('http://dialler:8000/…', { method: 'POST' })
     * const { outcome, state } = await confirmed.within(20_000)
     */
    expect: <Kind extends keyof Expected>(
      resource: `${Kind}/${string}`,
      expected: Expected[Kind],
      own?: ExpectOptions<Kind>,
    ): Promise<Expectation> => createExpectation(requests, resource, expected, own),

    /** Parked notifications, newest first. */
    parked: (query?: ParkedQuery) => read<ParkedPage>(['parked'], query),
    /** How many there are of each cause and of each route. */
    parkedGroups: (query?: ParkedGroupsQuery) => read<ParkedGroups>(['parked', 'groups'], query),
    /** A parked notification with its failed attempts and its content. To reveal is a write: it is tried once. */
    parkedEntry: async (id: string, { signal, timeoutMs, reveal }: ParkedEntryOptions = {}) =>
      (reveal === true ? askOnce : ask)<ParkedDetail>(
        { path: formatPath(['parked', id]), query: { reveal } },
        { signal, timeoutMs },
      ),
    /** What a replay would do. Nothing is sent. */
    planReplay: (selection: ReplaySelection, own?: CallOptions) =>
      write<ReplayPlan>(['replays'], { ...selection, plan: true }, own),
    /** Sends notifications through their functions again. */
    startReplay: (request: ReplayRequest, own?: CallOptions) => write<Replay>(['replays'], request, own),
    /** The replays of the last 30 days, newest first. */
    replays: (query?: ListQuery) => read<ReplaysPage>(['replays'], query),
    /** A replay with a page of its messages, each with its outcome. */
    replayDetail: (id: string, query?: ReplayMessagesQuery) => read<ReplayDetail>(['replays', id], query),
    /** What was not sent stays parked. */
    stopReplay: (id: string, own?: CallOptions) => write<Replay>(['replays', id, 'stop'], undefined, own),
    /** For a relay that drives replays: reports on its round, and takes the next. May be repeated, but is tried once. */
    nextRound: (request: NextRoundRequest, own?: CallOptions) => write<NextRound>(['replays', 'next'], request, own),
    /** Moves entries of functions to the bin. Where `more` is true, ask again, with the `until` of the first request. */
    deleteParked: (request: DeleteRequest, own?: CallOptions) => write<Deleted>(['parked', 'delete'], request, own),
    /** Deleted entries, newest first. */
    bin: (query?: ListQuery) => read<BinPage>(['bin'], query),
    /** Takes deleted entries back to their places in the list. */
    restore: (ids: readonly string[], own?: CallOptions) => write<Moved>(['bin', 'restore'], { ids }, own),
    /** Has the dead-letter queues drained now; answers before it is done. */
    drain: (own?: CallOptions) => write<Asked>(['parked', 'drain'], undefined, own),
    /** Who wrote or revealed what, newest first. */
    audit: (query?: ListQuery) => read<AuditPage>(['audit'], query),
  }
}

export type ExpectOptions<Kind extends keyof Expected = keyof Expected> = CallOptions & {
  /** Only in this campaign. An agent has a state in each of its campaigns; without this, the first one that decides does. */
  readonly campaign?: Kind extends 'agents' ? string | undefined : undefined
  /** Only of this source, where two diallers number alike. */
  readonly source?: string | undefined
}

/** A request to the dialler that is about to be sent, or was. */
export type Expectation = {
  /** The place in the stream of changes behind which a notification counts. It moves on while nothing decides. */
  readonly cursor: string
  /**
   * Waits up to so many ms for the notification that confirms or refutes the request. When the time is over, the outcome is `pending`, with the present
   * state; wait again if you like, since nothing is missed in between. Once it is `confirmed` or `failed`, it stays so.
   *
   * @throws ApiProblem when the API was away until the end, at once when it refuses; or the signal's reason
   */
  readonly within: (ms: number, options?: Pick<CallOptions, 'signal'>) => Promise<Confirmation>
}

/** The longest wait (s) that one request asks for. An API may answer `pending` before. */
const LONGEST_WAIT_S = 25

/** How much longer (ms) the answer may take. */
const ANSWER_MS = 5_000

/** The least time (ms) between two requests, where the API does not wait. */
const LEAST_MS = 1_000

/** Takes a cursor: what is heard from now on counts. @throws ApiProblem */
export async function createExpectation(
  { ask, askOnce, backoffMs }: Requests,
  resource: string,
  expect: string,
  { signal, timeoutMs, campaign, source }: ExpectOptions = {},
): Promise<Expectation> {
  let { cursor } = await ask<ChangesPage>({ path: '/changes' }, { signal, timeoutMs })
  let decided: Confirmation | undefined
  let [seen, isReset]: [readonly string[], boolean] = [[], false]

  /** Asks once, and notes what the answer says. */
  const askFor = async (waitMs: number, own: CallOptions['signal']): Promise<Confirmation> => {
    const timeout = Math.min(waitMs / 1000, LONGEST_WAIT_S)
    const query = { resource, expect, after: cursor, timeout, campaign, source }
    const call = { path: '/confirmations', query }
    const answer = await askOnce<Confirmation>(call, { signal: own, timeoutMs: timeout * 1000 + ANSWER_MS })
    cursor = answer.cursor
    seen = [...seen, ...answer.seen]
    isReset ||= answer.reset
    const all = { ...answer, seen: [...seen], reset: isReset }
    if (answer.outcome !== 'pending') decided = all
    return all
  }

  return {
    get cursor() {
      return cursor
    },
    within: async (ms, { signal: own } = {}) => {
      const endMs = Date.now() + ms
      for (let failures = 0; ;) {
        if (decided !== undefined) return decided
        const startMs = Date.now()
        const leftMs = Math.max(0, endMs - startMs)
        let waitMs = LEAST_MS
        try {
          const answer = await askFor(leftMs, own)
          if (answer.outcome !== 'pending' || Date.now() >= endMs) return answer
          failures = 0
        } catch (error) {
          // The last request, which does not wait, is sent when the time is over.
          if (!(error instanceof ApiProblem) || !isTemporary(error) || leftMs === 0) throw error
          waitMs = Math.max(backoffMs(++failures), error.retryAfterMs ?? 0)
          // From now on.
          waitMs += Date.now() - startMs
        }
        await pause(Math.min(startMs + waitMs, endMs) - Date.now(), own)
        own?.throwIfAborted()
      }
    },
  }
}

const isTemporary = ({ code, status }: ApiProblem): boolean =>
  code === 'network' || code === 'timeout' || status === 429 || status >= 500
