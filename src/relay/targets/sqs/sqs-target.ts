import { queueName, type Route } from '../../../protocol/index.ts'
import type { Logger } from '../../../runtime/index.ts'
import { describe } from '../../errors.ts'
import type { Outages } from '../../sender/outages.ts'
import type { Outcome, Rejection, Target } from '../target.ts'
import { formatBatch } from './batch-body.ts'
import type { BatchClient, BatchFailure } from './batch-client.ts'
import { findQueue, sqsProblem } from './queue.ts'
import { codeOf, isForSize, isMissingQueue, judgeEntry, judgeRequest, statusOf } from './verdict.ts'

export type SqsTargetOptions = {
  readonly route: Route
  readonly queuePrefix: string
  readonly batches: BatchClient
  readonly log: Logger
  /** Shared by all routes, so that what they all suffer from is logged once. */
  readonly outages: Outages
}

/** The FIFO queue of a route. */
export function createSqsTarget({ route, queuePrefix, batches, log, outages }: SqsTargetOptions): Target {
  const name = queueName(queuePrefix, route)
  const rejection = (of: Pick<Rejection, 'verdict' | 'reason' | 'detail'>, error: unknown): Rejection => ({
    ...of,
    isForSize: isForSize(of.reason, of.detail),
    isAnswer: true,
    isMissing: false,
    problem: sqsProblem(error, name, queuePrefix),
  })
  const judge = (failure: BatchFailure | undefined): Rejection => {
    if (failure === undefined) return rejection({ verdict: 'retry', reason: 'no answer', detail: '' }, undefined)
    const reason = String(failure.Code ?? 'unknown')
    const detail = String(failure.Message ?? '')
    return rejection({ verdict: judgeEntry({ ...failure, Code: reason }), reason, detail }, reason)
  }
  return {
    name,
    find: (signal, onProblem) => findQueue(batches.sqs, route, queuePrefix, log, signal, { outages, onProblem }),
    async send({ address }, parcels, signal, limitMs): Promise<readonly Outcome[]> {
      const body = formatBatch(address, parcels)
      const { Successful: accepted, Failed: failed } = await batches.send(body.bytes, signal, limitMs)
      // Only now is it certain that nothing reads these bytes any more.
      body.release()
      const acceptedIds = new Set(accepted?.map(({ Id }) => Id))
      const failures = new Map(failed?.map((failure) => [failure.Id, failure]))
      return parcels.map((_, index) =>
        acceptedIds.has(String(index)) ? 'accepted' : judge(failures.get(String(index))),
      )
    },
    explain: (error) => ({
      ...rejection({ verdict: judgeRequest(error), reason: codeOf(error), detail: describe(error) }, error),
      isAnswer: statusOf(error) !== undefined,
      isMissing: isMissingQueue(error),
    }),
  }
}
