import { ApiProblem, type Client } from 'enigma-relay/client'

/**
 * Starts a campaign through the dialler's HTTP API and waits until the dialler reports that it has started. This is a separate program, not a function: it
 * runs in your network, like the dialler.
 *
 * The order matters. The program takes a cursor before it sends the request, so that it cannot miss the confirmation. If it gets no cursor because the API
 * of enigma-relay is unavailable, it sends nothing.
 */
export type StartOptions = {
  /** `createClient({ url, token })` of `enigma-relay/client`. */
  readonly client: Client
  /** The request that starts a campaign on your dialler, such as `{ url: 'http://dialler:8000/…', method: 'POST', headers: … }`. See the dialler's API reference. */
  readonly request: { readonly url: string } & RequestInit
  /** The campaign's reference. */
  readonly campaign: string
  /** How long (ms) to wait for the confirmation. Default 20,000. */
  readonly waitMs?: number
}

export type Started =
  | {
      readonly result: 'started'
      /** The id of the notification that confirmed the start. */ readonly notification: string
    }
  /** The dialler rejected the request, or the campaign cannot start. */
  | { readonly result: 'failed'; readonly reason: string }
  /** The result is not known yet. `state` is the current state of the campaign, if it is known. */
  | { readonly result: 'unknown'; readonly reason: string; readonly state: string | null }

/** Time limit (ms) for the dialler's response, which only says that it accepted the request. */
const DIALLER_MS = 5_000

/** @throws ApiProblem if the API of enigma-relay returns no cursor; nothing was sent to the dialler */
export async function startCampaign({ client, request, campaign, waitMs = 20_000 }: StartOptions): Promise<Started> {
  const confirmed = await client.expect(`campaigns/${campaign}`, 'started')

  const { url, ...init } = request
  try {
    const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(DIALLER_MS) })
    // The dialler did not accept the request, so there is nothing to wait for.
    if (!answer.ok) return { result: 'failed', reason: `the dialler answered ${answer.status}` }
  } catch {
    // The response was lost, but the dialler may have received the request. Wait for the confirmation before you send it again.
  }

  try {
    const { outcome, notification, reason, state, unsure, reset } = await confirmed.within(waitMs)
    if (outcome === 'confirmed') return { result: 'started', notification: notification?.id ?? '' }
    if (outcome === 'failed') return { result: 'failed', reason: reason ?? 'the dialler reported a failure' }
    const why =
      unsure || reset ? 'notifications were missed: check GET /gaps' : 'the dialler has not confirmed the request'
    return { result: 'unknown', reason: why, state }
  } catch (error) {
    if (!(error instanceof ApiProblem)) throw error
    // The campaign may have started anyway. Call `confirmed.within` again when the API is available.
    return { result: 'unknown', reason: `the API of enigma-relay is unavailable: ${error.detail}`, state: null }
  }
}
