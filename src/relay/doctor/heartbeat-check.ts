import { randomUUID } from 'node:crypto'
import { RELAY_PREFIX } from '../redis/keys.ts'
import type { Redis } from '../redis/client.ts'
import { within } from './check.ts'
import { fail, ok, type Finding } from './finding.ts'
import { ANSWER_MS, type SourceView } from './source-view.ts'
import { isDenied, isUnknown } from '../redis/advice.ts'
import { wordsOf } from './words-of.ts'

/**
 * Whether PubSub is heard: listens as the relay does, and publishes a heartbeat of the doctor's own.
 *
 * @param listener a connection of its own, on which nothing else can be done any more
 */
export async function checkHeartbeat(
  { name, config, ask, cli, user: askUser }: SourceView,
  listener: Redis,
): Promise<Finding> {
  const check = name('heartbeat')
  if (config.channels.length === 0)
    return ok(check, 'ENIGMA_CHANNELS is "none", so the relay does not subscribe to Pub/Sub')
  const channel = `${RELAY_PREFIX}heartbeat:doctor:${randomUUID()}`
  const heard = Promise.withResolvers<void>()
  const user = await askUser()
  const grant = (what: string) => cli(`ACL SETUSER ${user} ${what}`)
  try {
    for (const pattern of config.channels)
      await within(
        ANSWER_MS,
        listener.pSubscribe(pattern, () => undefined),
      )
    await within(
      ANSWER_MS,
      listener.subscribe(channel, () => heard.resolve()),
    )
  } catch (error) {
    if (isDenied(error))
      return fail(
        check,
        'doctor.heartbeat.may_not_listen',
        `the user ${user} may not subscribe to ${config.channels.join(', ')} and ${RELAY_PREFIX}*: ${wordsOf(error)}`,
        grant(`+subscribe +psubscribe &${RELAY_PREFIX}* ${config.channels.map((one) => `&${one}`).join(' ')}`),
      )
    if (isUnknown(error))
      return fail(
        check,
        'doctor.heartbeat.no_subscribe',
        `Redis refuses the subscription: ${wordsOf(error)}`,
        'remove the rename-command line from redis.conf and restart Redis',
      )
    throw error
  }
  const from = performance.now()
  try {
    await ask('PUBLISH', channel, '')
  } catch (error) {
    if (isDenied(error))
      return fail(
        check,
        'doctor.heartbeat.may_not_publish',
        `the user ${user} may not publish the heartbeat: ${wordsOf(error)}`,
        grant(`+publish &${RELAY_PREFIX}*`),
      )
    throw error
  }
  try {
    await within(ANSWER_MS, heard.promise)
  } catch {
    return fail(
      check,
      'doctor.heartbeat.not_heard',
      `a published heartbeat did not arrive within ${ANSWER_MS / 1000} s: something between this host and Redis does not forward Pub/Sub messages`,
      'write the address of Redis itself in ENIGMA_SOURCES, not of a proxy',
    )
  }
  return ok(
    check,
    `a published heartbeat arrived after ${Math.max(1, Math.round(performance.now() - from))} ms, and the user may subscribe to ${config.channels.join(', ')}`,
  )
}
