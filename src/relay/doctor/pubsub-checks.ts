import { randomUUID } from 'node:crypto'
import { BASE_KEY, maskText } from '../../protocol/index.ts'
import { firstMatch } from '../pubsub/pattern.ts'
import { isDenied, isUnknown } from '../redis/advice.ts'
import { RELAY_PREFIX } from '../redis/keys.ts'
import { parseLimit, smallestOf } from '../redis/output-buffer.ts'
import { ANSWER_MS, counted, fail, inTime, ok, warn, wordsOf, type Diagnosis } from './check.ts'
import type { SourceView } from './source-view.ts'

/** Whether PubSub is heard: listens as the relay does, and publishes a heartbeat of the doctor's own. */
export async function checkHeartbeat({ config, connect, ask, cli, user }: SourceView): Promise<Diagnosis> {
  if (config.channels.length === 0) return ok('ENIGMA_CHANNELS is "none", so the relay does not subscribe to Pub/Sub')
  const channel = `${RELAY_PREFIX}heartbeat:doctor:${randomUUID()}`
  const heard = Promise.withResolvers<void>()
  const listener = await connect()
  const name = await user()
  const grant = (what: string) => cli(`ACL SETUSER ${name} ${what}`)
  try {
    for (const pattern of config.channels) await inTime(listener.pSubscribe(pattern, () => undefined))
    await inTime(listener.subscribe(channel, () => heard.resolve()))
  } catch (error) {
    if (isDenied(error))
      return fail(
        'doctor.heartbeat.may_not_listen',
        `the user ${name} may not subscribe to ${config.channels.join(', ')} and ${RELAY_PREFIX}*: ${wordsOf(error)}`,
        grant(`+subscribe +psubscribe &${RELAY_PREFIX}* ${config.channels.map((one) => `&${one}`).join(' ')}`),
      )
    if (isUnknown(error))
      return fail(
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
    if (!isDenied(error)) throw error
    return fail(
      'doctor.heartbeat.may_not_publish',
      `the user ${name} may not publish the heartbeat: ${wordsOf(error)}`,
      grant(`+publish &${RELAY_PREFIX}*`),
    )
  }
  try {
    await inTime(heard.promise)
  } catch {
    return fail(
      'doctor.heartbeat.not_heard',
      `a published heartbeat did not arrive within ${ANSWER_MS / 1000} s: something between this host and Redis does not forward Pub/Sub messages`,
      'write the address of Redis itself in ENIGMA_SOURCES, not of a proxy',
    )
  }
  const ms = Math.max(1, Math.round(performance.now() - from))
  return ok(`a published heartbeat arrived after ${ms} ms, and the user may subscribe to ${config.channels.join(', ')}`)
}

/** Below this (bytes) a second of a busy dialler, heard late, ends the connection. Redis' own default is 32 MiB, 8 MiB for a minute. */
const SMALL_BUFFER = 8 * 1024 * 1024

/** PubSub that waits at the server for one that is slow; beyond its limit Redis cuts the connection, and what waited is lost. */
export async function checkOutputBuffer({ setting, clients, cli }: SourceView): Promise<Diagnosis> {
  const limit = parseLimit((await setting('client-output-buffer-limit')) ?? '')
  const who = await clients().then(
    (all) => `; ${counted(all.filter(({ listens }) => listens).length, 'client subscribes', 'clients subscribe')} now`,
    () => '',
  )
  if (limit === undefined)
    return warn(
      'doctor.output_buffer.unknown',
      `the server does not report the output buffer limit of a Pub/Sub client${who}`,
    )
  const { hardBytes, softBytes, softSeconds } = limit
  const text = `the output buffer limit of a Pub/Sub client is ${toText(hardBytes)}, or ${toText(softBytes)} for ${softSeconds} s${who}`
  const smallest = smallestOf(limit)
  if (smallest > 0 && smallest < SMALL_BUFFER)
    return warn(
      'doctor.output_buffer.small',
      `${text}: this is small, and Redis disconnects a relay that is slow for a moment`,
      cli('CONFIG SET client-output-buffer-limit "pubsub 268435456 67108864 60"'),
    )
  return ok(text)
}

const toText = (bytes: number) =>
  bytes === 0 ? 'unlimited' : bytes < 1024 * 1024 ? `${bytes} bytes` : `${Math.floor(bytes / 1024 / 1024)} MiB`

/** Channels that others listen to tell how this dialler writes its keys. */
export async function checkChannels({ ask, config }: SourceView): Promise<Diagnosis> {
  const channels = ((await ask('PUBSUB', 'CHANNELS', `${BASE_KEY}*`)) as unknown[]).map(String)
  const missed = channels.filter((channel) => firstMatch(config.channels, channel) === undefined)
  if (missed.length === 0)
    return ok(
      channels.length === 0
        ? 'no other client subscribes to a channel by name'
        : `ENIGMA_CHANNELS matches all ${channels.length} channels that other clients subscribe to`,
    )
  return warn(
    'doctor.channels.not_matched',
    `other clients subscribe to channels that ENIGMA_CHANNELS does not match: ${maskText(missed.slice(0, 5).join(', '))}${missed.length > 5 ? ` and ${missed.length - 5} more` : ''}`,
    `ENIGMA_CHANNELS=${[...config.channels, `${BASE_KEY}*`].join(',')}, if the relay should hear them`,
  )
}
