import { createClient, ApiProblem, type Client } from '../../client/index.ts'
import { backoffMs, createChangeDetector, sleep, type Logger, type Release } from '../../runtime/index.ts'
import type { ApiAccess } from '../config.ts'
import { createHttpHandler } from '../targets/http-handler.ts'
import type { HttpProxies } from '../targets/http-proxy.ts'
import { createSendAgain, sendRound, type SendAgain, type Settled } from './send-round.ts'

type PollerOptions = {
  readonly api: ApiAccess
  readonly relayId: string
  readonly send: SendAgain
  readonly log: Logger
  /** Sends requests to the API. Default: `fetch` of the runtime. */
  readonly fetch?: NonNullable<Parameters<typeof createClient>[0]['fetch']>
  /** How often (ms) the relay reports a long round to the API: well within the minute after which another relay takes over. Default 20,000. */
  readonly reportMs?: number
  /** The longest wait (ms) after an error of the API, and of a target. Default 30,000. */
  readonly maxBackoffMs?: number
}

type NextRound = Awaited<ReturnType<Client['nextRound']>>
type GivenRound = NonNullable<NextRound['round']>
type Report = NonNullable<Parameters<Client['nextRound']>[0]['round']>

/** The shortest time (ms) between two requests that find nothing. */
const MIN_POLL_MS = 20

/** The longest wait (ms) that the API can ask for. */
const MAX_POLL_MS = 5 * 60_000

/** The remedy for a refusal, by its status. */
const FIXES: Readonly<Record<number, string>> = {
  400: 'The API sends replays through SQS, or has another version: remove ENIGMA_API_URL, or update the relay',
  401: 'The API does not know ENIGMA_API_TOKEN: set it to one of the tokens in API_TOKENS',
  403: 'ENIGMA_API_TOKEN needs the role operate',
  404: 'ENIGMA_API_URL is not the address of the API, or the API is older than this relay',
}

/**
 * Drives replays where there is no SQS: asks the API for messages, sends them to their targets, and reports the outcomes. All state is in the read
 * model. The round of a killed relay is partly sent again, by the same relay or, after a minute, by another one. Readiness does not depend on
 * replays.
 */
export function createReplayPoller(options: PollerOptions) {
  const { api, relayId: relay, send, log, reportMs = 20_000, maxBackoffMs = 30_000 } = options
  const client = createClient({ ...api, ...(options.fetch === undefined ? {} : { fetch: options.fetch }) })
  const change = createChangeDetector()

  /** Asks the API until it answers. */
  const ask = async (round: Report | undefined, signal: AbortSignal): Promise<NextRound | undefined> => {
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const answer = await client.nextRound({ relay, ...(round === undefined ? {} : { round }) }, { signal })
        if (change(undefined) === 'over')
          log.info({ code: 'relay.replays.on' }, 'The API answers requests for replays again')
        return answer
      } catch (error) {
        if (signal.aborted) return undefined
        const problem = error instanceof ApiProblem ? error : undefined
        const fix = FIXES[problem?.status ?? 0]
        const words = problem?.detail ?? String(error)
        if (change(words) === 'new') {
          if (fix === undefined)
            log.warn(
              { code: 'relay.replays.unavailable', error: words },
              'The API does not answer requests for replays; the relay retries',
            )
          else
            log.error(
              { code: 'relay.replays.refused', status: problem?.status, error: words, fix },
              'The API rejects requests for replays; the relay retries',
            )
        }
        await sleep(
          backoffMs(failures, { baseMs: fix === undefined ? 500 : maxBackoffMs, maxMs: maxBackoffMs }),
          signal,
        )
      }
    }
    return undefined
  }

  /** Sends a round, and reports regularly that it is still at work. Resolves with the last report; undefined when another relay has the round now. */
  const work = async (given: GivenRound, stop: AbortSignal): Promise<Report | undefined> => {
    const { job, round } = given
    const settled: Settled[] = []
    const lost = new AbortController()
    const end = AbortSignal.any([stop, lost.signal])
    const toReport = (done: boolean): Report => ({ job, round, settled: [...settled], done })
    const over = new AbortController()
    const keepOn = async () => {
      const signal = AbortSignal.any([end, over.signal])
      for (await sleep(reportMs, signal); !signal.aborted; await sleep(reportMs, signal)) {
        const answer = await ask(toReport(false), signal)
        if (answer?.go_on !== false) continue
        log.info({ code: 'relay.replays.taken_over', job }, 'A replay was stopped, or another relay drives it')
        lost.abort()
      }
    }
    const kept = keepOn()
    await sendRound(given, { send, log, maxBackoffMs, onSettled: (one) => void settled.push(one) }, end)
    over.abort()
    await kept
    return end.aborted ? undefined : toReport(true)
  }

  return {
    /** Drives replays until the signal aborts. Never throws. */
    async run(signal: AbortSignal): Promise<void> {
      let report: Report | undefined
      while (!signal.aborted) {
        const answer = await ask(report, signal)
        report = undefined
        if (answer === undefined) return
        const fromMs = performance.now()
        if (answer.round !== null) report = await work(answer.round, signal)
        const leftMs = Math.min(answer.wait_ms, MAX_POLL_MS) - (performance.now() - fromMs)
        await sleep(Math.max(MIN_POLL_MS, leftMs), signal)
      }
    },
  }
}

/** Drives the replays of the API that the configuration names. Without one, it does nothing. */
export function openReplays(
  { config, log, ...sends }: Parameters<typeof createSendAgain>[0] & { readonly log: Logger },
  release: Release,
): { readonly run: (signal: AbortSignal) => Promise<void> } {
  const { api, proxies, relayId } = config
  if (api === undefined) return { run: () => Promise.resolve() }
  const { fetch, close } = createFetch(proxies)
  release(close)
  return createReplayPoller({ api, relayId, send: createSendAgain({ config, ...sends }), log, fetch })
}

/** How long (ms) a request to the API may take: longer than the API needs for a round. The API's client has limits of its own. */
const MAX_FETCH_MS = 30_000

/** Creates a `fetch` on the relay's own HTTP client, which supports proxies. `close` ends its connections. */
export function createFetch(proxies: HttpProxies) {
  const http = createHttpHandler({ proxies, requestTimeoutMs: MAX_FETCH_MS })
  return {
    fetch: async (to: string, { method = 'GET', headers, body, signal }: RequestInit): Promise<Response> => {
      const { origin, pathname, search } = new URL(to)
      const request = {
        path: pathname + search,
        method,
        headers: Object.fromEntries(new Headers(headers)),
        body: typeof body === 'string' ? body : null,
      }
      const answer = await http.send(origin, request, { signal: signal ?? undefined, limitMs: MAX_FETCH_MS })
      const { statusCode: status } = answer
      // Responses with these statuses have no body. Source: https://fetch.spec.whatwg.org/#null-body-status
      return new Response([204, 205, 304].includes(status) ? null : new Uint8Array(answer.body), {
        status,
        headers: answer.headers,
      })
    },
    close: () => http.destroy(),
  }
}
