import type { ChangesPage, Confirmation, Expected } from '../answers/index.ts'
import { ApiProblem } from './problem.ts'
import { pause, type CallOptions, type Requests } from './requests.ts'

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
