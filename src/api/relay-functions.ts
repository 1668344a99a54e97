import { Hono } from 'hono'
import { event, record, type AdapterEnv } from '../adapter/index.ts'
import { RELAY_ROUTES, RelayAlive, RelayGap, RelayParked, ReplayStep } from '../protocol/index.ts'
import { relayAlive, relayGap, relayParked, type Effect } from '../store/index.ts'

/** Notices of the relay. */
export const app = new Hono<AdapterEnv<Effect>>()

/** A relay was ready: once a minute. `GET /relays` shows when each last was; a queue that gets none for five minutes raises an alarm. */
app.post('/relay/alive/:ref?', async (c) => {
  record(c, relayAlive(await event(c, RelayAlive)))
  return c.body(null, 204)
})

/** PubSub was not heard for a while, or what was heard was given up. `GET /gaps` shows it, and states from before it are unsure. */
app.post('/relay/gap/:ref?', async (c) => {
  record(c, relayGap(await event(c, RelayGap)))
  return c.body(null, 204)
})

/** The relay put a notification aside that SQS cannot take, or somebody has sent it again or dropped it. `GET /parked` shows them. */
app.post('/relay/parked/:id?', async (c) => {
  record(c, relayParked(await event(c, RelayParked)))
  return c.body(null, 204)
})

/**
 * The functions of the relay's notices, for `fromHttp` beside those of `functions/`.
 *
 * @example fromHttp([...relayFunctions, call, status, other], options)
 */
export const relayFunctions = [RELAY_ROUTES.alive, RELAY_ROUTES.gap, RELAY_ROUTES.parked].map((route) => ({
  route,
  app,
}))

/** The steps of replays; `run` goes on with one. A step that fails to the end is not parked: the schedule asks for another. */
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
