import { ApiProblem, type Client } from 'enigma-relay/client'

/**
 * Starts a campaign through the dialler's HTTP API and waits until the dialler says that it has started. A program of its own, beside the functions: the
 * dialler is in your network, and so is this.
 *
 * The order matters. The cursor is taken before the request is sent, so a confirmation cannot slip through between the two; and where there is no cursor,
 * because the API of enigma-relay is away, nothing is sent.
 */
export type StartOptions = {
  /** `createClient({ url, token })` of `enigma-relay/client`. */
  readonly client: Client
  /** The request that your dialler takes for a start, such as `{ url: 'http://dialler:8000/…', method: 'POST', headers: … }`; its API reference has it. */
  readonly request: { readonly url: string } & RequestInit
  /** The campaign's reference. */
  readonly campaign: string
  /** How long (ms) to wait for the confirmation. Default 20,000. */
  readonly waitMs?: number
}

export type Started =
  | { readonly result: 'started'; /** The id of the notification that says so. */ readonly notification: string }
  /** The dialler refused the request, or the campaign cannot start. */
  | { readonly result: 'failed'; readonly reason: string }
  /** Nobody knows yet. `state` is what the campaign is now, as far as it is known. */
  | { readonly result: 'unknown'; readonly reason: string; readonly state: string | null }

/** Longest wait (ms) for the dialler's answer, which only says that it has taken the request. */
const DIALLER_MS = 5_000

/** @throws ApiProblem when the API of enigma-relay gives no cursor: nothing was sent to the dialler */
export async function startCampaign({ client, request, campaign, waitMs = 20_000 }: StartOptions): Promise<Started> {
  const confirmed = await client.expect(`campaigns/${campaign}`, 'started')

  const { url, ...init } = request
  try {
    const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(DIALLER_MS) })
    // It has not taken the request, so there is nothing to wait for.
    if (!answer.ok) return { result: 'failed', reason: `the dialler answered ${answer.status}` }
  } catch {
    // The answer was lost, and perhaps the request was not: the confirmation tells. Do not send it again before you know.
  }

  try {
    const { outcome, notification, reason, state, unsure, reset } = await confirmed.within(waitMs)
    if (outcome === 'confirmed') return { result: 'started', notification: notification?.id ?? '' }
    if (outcome === 'failed') return { result: 'failed', reason: reason ?? 'the dialler says so' }
    const why =
      unsure || reset ? 'notifications were missed: look at GET /gaps' : 'the dialler has not confirmed the request'
    return { result: 'unknown', reason: why, state }
  } catch (error) {
    if (!(error instanceof ApiProblem)) throw error
    // The campaign may have started all the same. `confirmed.within` can be called again when the API is back.
    return { result: 'unknown', reason: `the API of enigma-relay is away: ${error.detail}`, state: null }
  }
}
