import type { RelayConfig } from '../relay/index.ts'
import { createAnnouncer } from '../relay/parked-command/announce.ts'
import { ParkedError } from '../relay/parking/parked-error.ts'
import { createQueueFinder } from '../relay/parked-command/queue-finder.ts'
import type { retryParked } from '../relay/parked-command/take-out.ts'
import { createSqs } from '../relay/targets/sqs/sdk-client.ts'
import { createLog } from '../runtime/index.ts'
import { formatTakenOut, print, sayProgress } from './parked-output.ts'
import { emptyWords, overSources, type ParkedScope } from './parked-scope.ts'

/** Longest wait (ms) for an answer of SQS. */
const REQUEST_MS = 10_000

/** Sends again or drops, a line for each entry. @throws ParkedError */
export async function takeOut(scope: ParkedScope, config: RelayConfig, act: typeof retryParked): Promise<void> {
  const { filter, unseen, json, signal } = scope
  const sqs = createSqs(config, { requestTimeoutMs: REQUEST_MS })
  let done = 0
  let stay = 0
  try {
    const queues = createQueueFinder({ sqs, prefix: config.queuePrefix, log: createLog('silent'), signal })
    await overSources(scope, async (list, sourceId, client) => {
      const announcer = createAnnouncer({ sourceId, client, sqs, queues, now: Date.now })
      for await (const taken of act({
        list,
        filter,
        announcer,
        sqs,
        queues,
        signal,
        onPage: (page) => sayProgress(page, sourceId),
      })) {
        unseen.delete(taken.id)
        if (taken.state === 'stays') stay++
        else done++
        await print(formatTakenOut(taken, sourceId, json))
      }
    })
  } finally {
    sqs.destroy()
  }
  if (signal.aborted)
    throw new ParkedError('relay.parked.stopped', `stopped: ${done} done, the other entries stay on the list`)
  if (stay > 0)
    throw new ParkedError(
      'relay.parked.incomplete',
      `${stay} of ${done + stay} ${stay === 1 ? 'stays' : 'stay'} on the list; the lines above have the reasons`,
    )
  if (done === 0 && unseen.size === 0 && !json) await print(`${emptyWords(scope)}\n`)
}
