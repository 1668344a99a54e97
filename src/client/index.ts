import type * as Answers from '../answers/index.ts'
import { ApiProblem } from './api-problem.ts'
import {
  type Call,
  type CallOptions,
  createRequests,
  formatPath,
  pause,
  type RequestOptions,
  type Requests,
} from './api-requests.ts'
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
import { type Changes, type ChangesOptions, followChanges } from './follow-changes.ts'

/* A client of the API that needs only `fetch`: for browsers, Node and edge runtimes. */
export type * from '../answers/index.ts'
export { ApiProblem, type ProblemCode } from './api-problem.ts'
export type { CallOptions } from './api-requests.ts'
export { allItems } from './client-parameters.ts'
export type * from './client-parameters.ts'
export type { Changes, ChangesOptions } from './follow-changes.ts'

export type ClientOptions = RequestOptions

export type Client = ReturnType<typeof createClient>

/**
 * Creates a client of the API, with a method for each endpoint (docs/read-api.md). Methods reject with `ApiProblem`, or with the reason of
 * their signal. Lists return a page; `allItems` goes through all pages.
 *
 * @example
 * const client = createClient({ url: 'https://api.example.com', token: 'c0ffee…' })
 * const { call } = await client.agent('1002')
 */
export function createClient(options: ClientOptions) {
  const requests = createRequests(options)
  const { ask, askOnce } = requests

  /** Reads, and retries while the API is unavailable. */
  const read = async <Answer>(path: readonly string[], { signal, timeoutMs, ...query }: CallOptions = {}) =>
    ask<Answer>({ path: formatPath(path), query }, { signal, timeoutMs })
  /** Writes once. If the response is lost, nobody knows whether the write was done, so it is not retried. */
  const write = async <Answer>(path: readonly string[], body: object | undefined, own: CallOptions = {}) =>
    askOnce<Answer>({ path: formatPath(path), method: 'POST', ...(body === undefined ? {} : { body }) }, own)

  return {
    /** Lists agents, each with its states and its current call. */
    agents: (query?: AgentsQuery) => read<Answers.AgentsPage>(['agents'], query),
    /** Returns an agent with its latest calls and its counters. */
    agent: (ref: string, own?: CallOptions) => read<Answers.AgentDetail>(['agents', ref], own),
    /** Lists campaigns, each with its agents by status and figures of its CDRs of today. */
    campaigns: (query?: ListQuery) => read<Answers.CampaignsPage>(['campaigns'], query),
    /** Returns a campaign with its history and its counters. */
    campaign: (ref: string, own?: CallOptions) => read<Answers.CampaignDetail>(['campaigns', ref], own),
    /** Returns the contacts that will be dialled next. */
    preview: (ref: string, own?: CallOptions) => read<Answers.Preview>(['campaigns', ref, 'preview'], own),
    /** Lists CDRs, newest first. A number or a contact is sent in the body, never in an address. */
    cdrs: ({ signal, timeoutMs, ...query }: CdrsQuery = {}) => {
      const path = formatPath(['cdrs'])
      const call: Call =
        query.number === undefined && query.contact === undefined
          ? { path, query }
          : { path: `${path}/search`, method: 'POST', isRead: true, body: query }
      return ask<Answers.CdrsPage>(call, { signal, timeoutMs })
    },
    /** Returns a CDR with every field that the dialler sent, and its revisions. */
    cdr: (id: string, own?: CallOptions) => read<Answers.CdrDetail>(['cdrs', id], own),
    dialers: (own?: CallOptions) => read<Answers.Dialers>(['dialers'], own),
    /** Lists time spans in which Pub/Sub could not be heard, newest first. */
    gaps: (query?: GapsQuery) => read<Answers.GapsPage>(['gaps'], query),
    /** Lists calls that their agents have left and whose CDR has not arrived, newest first. */
    missing: (query?: MissingQuery) => read<Answers.MissingPage>(['missing'], query),
    relays: (own?: CallOptions) => read<Answers.Relays>(['relays'], own),
    /** Returns the number of messages in each queue of the stack. */
    queues: (own?: CallOptions) => read<Answers.Queues>(['queues'], own),
    /** Returns the latest value of a kind that you added, and earlier values. */
    kind: (type: string, subType: string, ref: string, own?: CallOptions) =>
      read<Answers.Kind>(['kinds', type, subType, ref], own),
    /** Lists notifications without a route, newest first. */
    other: (query?: ListQuery) => read<Answers.OtherPage>(['other'], query),
    /** Returns the current state of the call centre in one answer. */
    wall: (own?: CallOptions) => read<Answers.Wall>(['wall'], own),
    /** Returns what this API offers, and what the token may do. */
    config: (own?: CallOptions) => read<Answers.Config>(['config'], own),
    /** Resolves if the API and the read model work; rejects with a problem otherwise. */
    health: (own?: CallOptions) => read<Answers.Health>(['health'], own),
    /** Returns the OpenAPI document. */
    openApi: (own?: CallOptions) => read<Record<string, unknown>>(['openapi.json'], own),

    /** Follows changes as they happen, by stream or by polling, as the API supports it. Ends with its signal, or when the loop is left. */
    changes: (own: ChangesOptions = {}): AsyncGenerator<Changes, void, undefined> => followChanges(requests, own),
    /** Returns one page of the changes that `changes` follows. */
    changesPage: (query?: ChangesQuery) => read<Answers.ChangesPage>(['changes'], query),

    /**
     * Prepares for a confirmation. Call it before you send a request to the dialler, which answers before the work is done; then wait for
     * the confirmation (docs/confirmations.md).
     *
     * @example
     * const confirmed = await client.expect('campaigns/7', 'started')
     * await fetch('http://dialler:8000/…', { method: 'POST' })
     * const { outcome, state } = await confirmed.within(20_000)
     */
    expect: <Kind extends keyof Answers.Expected>(
      resource: `${Kind}/${string}`,
      expected: Answers.Expected[Kind],
      own?: ExpectOptions<Kind>,
    ): Promise<Expectation> => createExpectation(requests, resource, expected, own),

    /** Lists parked notifications, newest first. */
    parked: (query?: ParkedQuery) => read<Answers.ParkedPage>(['parked'], query),
    /** Counts parked notifications by cause and by route. */
    parkedGroups: (query?: ParkedGroupsQuery) => read<Answers.ParkedGroups>(['parked', 'groups'], query),
    /** Returns a parked notification with its failed attempts and its content. Revealing the content is a write, so it is tried once. */
    parkedEntry: async (id: string, { signal, timeoutMs, reveal }: ParkedEntryOptions = {}) =>
      (reveal === true ? askOnce : ask)<Answers.ParkedDetail>(
        { path: formatPath(['parked', id]), query: { reveal } },
        { signal, timeoutMs },
      ),
    /** Returns the expected outcome of a replay: a dry run. Sends nothing. */
    planReplay: (selection: ReplaySelection, own?: CallOptions) =>
      write<Answers.ReplayPlan>(['replays'], { ...selection, plan: true }, own),
    /** Starts a replay, which sends notifications through their functions again. */
    startReplay: (request: ReplayRequest, own?: CallOptions) => write<Answers.Replay>(['replays'], request, own),
    /** Lists the replays of the last 30 days, newest first. */
    replays: (query?: ListQuery) => read<Answers.ReplaysPage>(['replays'], query),
    /** Returns a replay with a page of its messages and their outcomes. */
    replayDetail: (id: string, query?: ReplayMessagesQuery) => read<Answers.ReplayDetail>(['replays', id], query),
    /** Stops a replay. Entries that were not sent stay parked. */
    stopReplay: (id: string, own?: CallOptions) => write<Answers.Replay>(['replays', id, 'stop'], undefined, own),
    /** Reports on a relay's round, and returns the next one, for a relay that drives replays. It is sent once; you may repeat it. */
    nextRound: (request: NextRoundRequest, own?: CallOptions) =>
      write<Answers.NextRound>(['replays', 'next'], request, own),
    /** Moves entries of functions to the bin. If `more` is true, repeat the call with the `until` of the first answer. */
    deleteParked: (request: DeleteRequest, own?: CallOptions) =>
      write<Answers.Deleted>(['parked', 'delete'], request, own),
    /** Lists deleted entries, newest first. */
    bin: (query?: ListQuery) => read<Answers.BinPage>(['bin'], query),
    /** Moves deleted entries back to their places in the list. */
    restore: (ids: readonly string[], own?: CallOptions) => write<Answers.Moved>(['bin', 'restore'], { ids }, own),
    /** Starts draining the dead-letter queues. The answer arrives before the work is done. */
    drain: (own?: CallOptions) => write<Answers.Asked>(['parked', 'drain'], undefined, own),
    /** Lists the audit log, newest first: who changed or revealed what. */
    audit: (query?: ListQuery) => read<Answers.AuditPage>(['audit'], query),
  }
}

export type ExpectOptions<Kind extends keyof Answers.Expected = keyof Answers.Expected> = CallOptions & {
  /** Only in this campaign. An agent has a state in each of its campaigns. Without this, the first deciding notification counts. */
  readonly campaign?: Kind extends 'agents' ? string | undefined : undefined
  /** Only notifications of this source, if two diallers use the same references. */
  readonly source?: string | undefined
}

/** A request to the dialler that is about to be sent, or was sent. */
export type Expectation = {
  /** The place in the change stream after which a notification counts. It advances while no notification decides. */
  readonly cursor: string
  /**
   * Waits up to `ms` for the notification that confirms or refutes the request. When the time is over, the outcome is `pending`, with the
   * current state. You may wait again, since nothing is missed in between. The outcomes `confirmed` and `failed` are final.
   *
   * @throws ApiProblem if the API was unavailable until the end, or at once if it rejects the request; or the signal's reason
   */
  readonly within: (ms: number, options?: Pick<CallOptions, 'signal'>) => Promise<Answers.Confirmation>
}

/** The longest wait (s) of one request. An API may answer `pending` earlier. */
const MAX_WAIT_SECONDS = 25

/** How much longer (ms) than the wait the response may take. */
const ANSWER_MS = 5_000

/** The minimum time (ms) between two requests, if the API does not wait. */
const MIN_INTERVAL_MS = 1_000

/** Takes a cursor, so that notifications from now on count. @throws ApiProblem */
async function createExpectation(
  { ask, askOnce, backoffMs }: Requests,
  resource: string,
  expect: string,
  { signal, timeoutMs, campaign, source }: ExpectOptions = {},
): Promise<Expectation> {
  let { cursor } = await ask<Answers.ChangesPage>({ path: '/changes' }, { signal, timeoutMs })
  let decided: Answers.Confirmation | undefined
  let [seen, isReset]: [readonly string[], boolean] = [[], false]

  /** Sends one request, and records its answer. */
  const askFor = async (waitMs: number, own: CallOptions['signal']): Promise<Answers.Confirmation> => {
    const timeout = Math.min(waitMs / 1000, MAX_WAIT_SECONDS)
    const query = { resource, expect, after: cursor, timeout, campaign, source }
    const call = { path: '/confirmations', query }
    const answer = await askOnce<Answers.Confirmation>(call, { signal: own, timeoutMs: timeout * 1000 + ANSWER_MS })
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
        let waitMs = MIN_INTERVAL_MS
        try {
          const answer = await askFor(leftMs, own)
          if (answer.outcome !== 'pending' || Date.now() >= endMs) return answer
          failures = 0
        } catch (error) {
          // When the time is over, a last request is sent, which does not wait.
          if (!(error instanceof ApiProblem) || !isTemporary(error) || leftMs === 0) throw error
          waitMs = Math.max(backoffMs(++failures), error.retryAfterMs ?? 0)
          // The wait begins now.
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
