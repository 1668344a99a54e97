import type { HttpOutcome } from '../../src/protocol/index.ts'
import type { SendAgain } from '../../src/relay/replays/send-round.ts'

/** Sends a message as the relay's HTTP target does: a batch of one, over HTTP. */
export const createSend =
  (url: string, token: string): SendAgain =>
  async ({ route, event: text }, { attempt, isRedelivery, replay }, signal) => {
    const response = await fetch(url, {
      method: 'POST',
      signal,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/cloudevents-batch+json',
        'ce-route': route,
        'ce-attempt': String(attempt),
        'ce-replay': replay.job,
        'ce-parked': replay.entry,
        ...(isRedelivery ? { 'ce-redelivery': 'true' } : {}),
      },
      body: `[${text}]`,
    })
    if (response.status === 413 || response.status === 422)
      return { outcome: 'refused', reason: `the server answered ${response.status}` }
    if (response.status !== 200) throw new Error(`the server answered ${response.status}`)
    const { outcomes } = (await response.json()) as { outcomes: [HttpOutcome] }
    const [{ outcome, after = 0 }] = outcomes
    return outcome === 'retry' ? { outcome, afterMs: after * 1_000 } : { outcome }
  }
