import { setTimeout as sleep } from 'node:timers/promises'
import { fromSqs, type LambdaContext, type SqsEvent } from '../adapter/index.ts'
import { createReplayApp, findLost, runReplay } from '../api/index.ts'
import { RELAY_ROUTES } from '../protocol/index.ts'
import { readOwnRoutes } from './declarations.ts'
import { drain } from './drain.ts'
import { sendParked, sendReplayStep } from './queues.ts'
import { commitBatch, countDrained, queuePrefix, store, wire } from './wiring.ts'

/** Less than the function's time limit, by the longest request. */
const STEP_MS = 15_000

/** Sends parked notifications again, step by step. */
export const app = createReplayApp(async ({ job, steps }) => {
  const { read, commit } = store()
  const next = await runReplay(job, steps, { read, commit, send: sendParked, limitMs: STEP_MS, sleep })
  if (next !== undefined) await sendReplayStep(queuePrefix(), job, next)
})

const runSteps = fromSqs(app, wire(RELAY_ROUTES.replay))

let routes: ReturnType<typeof readOwnRoutes> | undefined

/** Steps of replays come from its queue. Every five minutes a schedule has it park what is in the dead-letter queues, and go on with replays whose step was lost. */
export async function handler(given: SqsEvent | { readonly source?: string }, context?: LambdaContext) {
  if ('Records' in given) return runSteps(given, context)
  routes ??= readOwnRoutes()
  const { recall, read } = store()
  const options = {
    prefix: queuePrefix(),
    routes: await routes,
    commit: commitBatch,
    recall,
    ping: read.ping,
    limitMs: STEP_MS,
  }
  const drained = await drain(options)
  if (drained === undefined) return undefined
  countDrained(drained)
  for (const job of await findLost(read)) await sendReplayStep(queuePrefix(), job)
  return undefined
}
