import { setTimeout as sleep } from 'node:timers/promises'
import { fromSqs, type LambdaContext, type SqsEvent } from '../adapter/index.ts'
import { createReplayApp, findWaiting, runReplay } from '../api/index.ts'
import { RELAY_ROUTES } from '../protocol/index.ts'
import { readOwnRoutes } from './declarations.ts'
import { drain } from './drain.ts'
import { sendParked, sendReplayStep } from './queues.ts'
import { commitBatch, countDrained, queuePrefix, store, wire } from './wiring.ts'

/** Less than the function's time limit, by the longest request. */
const STEP_MS = 15_000

/** Sends parked notifications again, step by step. */
export const app = createReplayApp(async (job) => {
  const { read, commit } = store()
  const isMore = await runReplay(job, { read, commit, send: sendParked, limitMs: STEP_MS, sleep })
  if (isMore) await sendReplayStep(queuePrefix(), job)
})

const runSteps = fromSqs(app, wire(RELAY_ROUTES.replay))

/** Steps of replays come from its queue. Every five minutes a schedule has it park what is in the dead-letter queues, and go on with replays. */
export async function handler(given: SqsEvent | { readonly source?: string }, context?: LambdaContext) {
  if ('Records' in given) return runSteps(given, context)
  const routes = await readOwnRoutes()
  const { recall, read } = store()
  const options = { prefix: queuePrefix(), routes, commit: commitBatch, recall, ping: read.ping, limitMs: STEP_MS }
  const drained = await drain(options)
  if (drained === undefined) return undefined
  countDrained(drained)
  // A step may have been lost, or given up in a long outage.
  for (const { id } of await findWaiting(read)) await sendReplayStep(queuePrefix(), id)
  return undefined
}
