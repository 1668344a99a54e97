import { RelayError } from '../relay/errors.ts'
import type { RelayConfig } from '../relay/index.ts'
import { createDelivery } from '../relay/parked-command/delivery.ts'
import { takeOut } from '../relay/parked-command/take-out.ts'
import type { Page } from '../relay/parking/parked-list.ts'
import { createSqs } from '../relay/targets/sqs/sqs-client.ts'
import { formatTakenOut, print, sayProgress } from './parked-output.ts'
import { readRoutes } from './routes.ts'
import { emptyWords, overSources, type ParkedScope } from './parked-scope.ts'

/** Longest wait (ms) for an answer of SQS to a look at a queue. */
const REQUEST_MS = 10_000

/** Sends again or drops, and prints a line for each entry. @throws RelayError */
export async function printTakenOut(scope: ParkedScope, config: RelayConfig, action: 'retry' | 'drop'): Promise<void> {
  const { filter, unseen, json, signal } = scope
  const sqs = createSqs(config, { requestTimeoutMs: REQUEST_MS })
  const { queuePrefix } = config
  const routes = await readRoutes(config)
  const delivery = createDelivery({ batches: sqs.batches, queuePrefix, signal })
  const notices = createDelivery({ batches: sqs.batches, queuePrefix })
  let done = 0
  let stay = 0
  try {
    await overSources(scope, async (list, sourceId, client) => {
      const onPage = (page: Page) => sayProgress(page, sourceId)
      for await (const taken of takeOut(action, {
        list,
        filter,
        sourceId,
        routes,
        client,
        delivery,
        notices,
        signal,
        onPage,
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
    throw new RelayError('relay.parked.stopped', `stopped: ${done} done, the other entries stay on the list`)
  if (stay > 0)
    throw new RelayError(
      'relay.parked.incomplete',
      `${stay} of ${done + stay} ${stay === 1 ? 'stays' : 'stay'} on the list; the lines above have the reasons`,
    )
  if (done === 0 && unseen.size === 0 && !json) await print(`${emptyWords(scope)}\n`)
}
