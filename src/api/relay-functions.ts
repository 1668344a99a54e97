import { Hono } from 'hono'
import { type AdapterEnv, event, record } from '../adapter/index.ts'
import { RELAY_ROUTES, RelayAlive, RelayGap, RelayParked, ReplayStep } from '../protocol/index.ts'
import {
  type Effect,
  missingCdr,
  type Reads,
  relayAlive,
  relayGap,
  relayParked,
  type StoreWriter,
} from '../store/index.ts'

/** The handlers of the relay's notices. */
export const app = new Hono<AdapterEnv<Effect>>()

/**
 * A relay was ready: sent once a minute. `GET /relays` shows when each relay was last ready. A queue that receives none for five minutes
 * raises an alarm.
 */
app.post('/relay/alive/:ref?', async (c) => {
  record(c, relayAlive(await event(c, RelayAlive)))
  return c.body(null, 204)
})

/** Pub/Sub could not be heard for a time, or heard notifications were discarded. `GET /gaps` shows the gap, and older states are unsure. */
app.post('/relay/gap/:ref?', async (c) => {
  record(c, relayGap(await event(c, RelayGap)))
  return c.body(null, 204)
})

/** The relay parked a notification that its target cannot accept, or has since sent or dropped it. `GET /parked` lists them. */
app.post('/relay/parked/:id?', async (c) => {
  record(c, relayParked(await event(c, RelayParked)))
  return c.body(null, 204)
})

/**
 * The functions of the relay's notices, to pass to `fromHttp` beside those of `functions/`.
 *
 * @example fromHttp([...relayFunctions, call, status, other], options)
 */
export const relayFunctions = [RELAY_ROUTES.alive, RELAY_ROUTES.gap, RELAY_ROUTES.parked].map((route) => ({
  route,
  app,
}))

/**
 * Creates the handler of the steps of replays; `run` executes a step. A step that fails on its last attempt is not parked, because the
 * schedule requests another one.
 */
export const createReplayApp = (run: (step: ReplayStep) => Promise<void>): Hono<AdapterEnv<Effect>> =>
  new Hono<AdapterEnv<Effect>>().post('/relay/replay/:job?', async (c) => {
    const { payload, lastAttempt } = await event(c, ReplayStep)
    try {
      await run(payload)
    } catch (error) {
      if (!lastAttempt) throw error
    }
    return c.body(null, 204)
  })

/** How long (ms) to wait for a CDR after the agent has left the call. */
export const MISSING_MS = 15 * 60_000

/**
 * Adds overdue calls to the list of calls without a CDR. Call it every few minutes from a schedule. Returns how many calls were added, and
 * how many are listed.
 *
 * @throws StoreError
 */
export async function listMissing(
  { read, commit }: { readonly read: Reads; readonly commit: StoreWriter['commit'] },
  { waitMs = MISSING_MS, now = Date.now }: { readonly waitMs?: number; readonly now?: () => number } = {},
): Promise<{ readonly found: number; readonly listed: number }> {
  const before = await read.missingCount()
  const calls = await read.awaitedCalls(waitMs)
  if (calls.length === 0) return { found: 0, listed: before }
  await commit({ effects: calls.map((call) => missingCdr(call, now())), done: new Map() })
  const listed = await read.missingCount()
  return { found: Math.max(0, listed - before), listed }
}
