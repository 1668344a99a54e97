import { setTimeout as sleep } from 'node:timers/promises'
import { fromSqs, type LambdaContext, type SqsEvent } from '../adapter/index.ts'
import { createReplayApp, findLost, listMissing, runReplay } from '../api/index.ts'
import { DEFAULT_LIMITS, queueName, RELAY_ROUTES } from '../protocol/index.ts'
import { drain } from './drain-queues.ts'
import { DRAIN, sendParked, sendReplayStep, stackRoutes } from './sqs-queues.ts'
import {
  commitBatch,
  countDrained,
  countMissing,
  countParked,
  missingWait,
  queuePrefix,
  store,
  wire,
} from './wiring.ts'

/** The time limit of a step (ms). Shorter than that of the function by the longest request. */
const STEP_MS = 15_000

/** An alarm is raised this long (ms) before parked notifications are removed. */
const EXPIRING_MS = 3 * 24 * 3_600_000

// Read at start-up, so that an invalid setting shows at once.
const missingOptions = missingWait()

/** Sends parked notifications again, step by step. */
export const app = createReplayApp(async ({ job, steps }) => {
  if (job === DRAIN) return void (await drainAll())
  const { read, commit } = store()
  const next = await runReplay(job, steps, { read, commit, send: sendParked, limitMs: STEP_MS, sleep, targetOf })
  if (next !== undefined) await sendReplayStep(queuePrefix(), job, next)
})

async function targetOf(name: string) {
  const lanes = (await stackRoutes()).all.find((route) => route.name === name)?.lanes ?? DEFAULT_LIMITS.lanes
  return { queue: queueName(queuePrefix(), { name }), lanes }
}

const runSteps = fromSqs(app, wire(RELAY_ROUTES.replay))

/**
 * Handles the steps of replays, which arrive on its queue. Every five minutes, a schedule invokes it to park the messages in dead-letter queues,
 * resume replays whose step was lost, and list calls whose CDR is missing.
 */
export async function handler(given: SqsEvent | { readonly source?: string }, context?: LambdaContext) {
  if ('Records' in given) return runSteps(given, context)
  if (await drainAll()) countMissing(await listMissing(store(), missingOptions))
  return undefined
}

/** Parks dead letters and resumes replays. Resolves with false if the read model does not answer. */
async function drainAll(): Promise<boolean> {
  const { recall, read } = store()
  const options = {
    prefix: queuePrefix(),
    routes: await stackRoutes(),
    commit: commitBatch,
    recall,
    ping: read.ping,
    limitMs: STEP_MS,
  }
  const drained = await drain(options)
  if (drained === undefined) return false
  countDrained(drained)
  countParked(await read.parkedCounts(EXPIRING_MS))
  for (const job of await findLost(read)) await sendReplayStep(queuePrefix(), job)
  return true
}
