import { BASE_KEY, maskText } from '../../protocol/index.ts'
import { LEASE_MS } from '../redis/lease.ts'
import { RELAYS_KEY } from '../redis/keys.ts'
import { firstMatch } from '../pubsub/pattern.ts'
import { ok, warn, type Finding } from './finding.ts'
import type { SourceView } from './source-view.ts'

type Client = { readonly addr: string; readonly cmd: string; readonly isBlocked: boolean; readonly listens: boolean }

/** What the server tells of its clients. Source: https://redis.io/docs/latest/commands/client-list/ */
async function listClients({ ask }: SourceView): Promise<Client[]> {
  return String(await ask('CLIENT', 'LIST'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? ''
      return {
        addr: field('addr'),
        cmd: field('cmd'),
        isBlocked: field('flags').includes('b'),
        listens: Number(field('sub')) + Number(field('psub')) > 0,
      }
    })
}

/** Commands that take from a list. The relay's own wait is among the latter. */
const TAKES = new Set(['blpop', 'brpop', 'blmpop', 'lpop', 'rpop', 'lmpop', 'rpoplpush', 'lmove'])
const MOVES = new Set(['brpoplpush', 'blmove'])

/** Each item goes to one reader: another one takes what the relay should have. */
export async function checkConsumers(view: SourceView): Promise<Finding> {
  const { name, ask, config, now } = view
  const check = name('consumers')
  const [clients, relays] = await Promise.all([
    listClients(view),
    ask('ZCOUNT', RELAYS_KEY, String(now() - LEASE_MS), '+inf').then(Number),
  ])
  const takers = clients.filter(({ cmd }) => TAKES.has(cmd))
  const movers = clients.filter(({ cmd, isBlocked }) => MOVES.has(cmd) && isBlocked)
  // A relay waits with one connection for each of its lists.
  const others = [...takers, ...movers.slice(Math.max(0, relays) * config.lists.length)]
  const own = movers.length > 0 && relays > 0 ? ` except ${relays === 1 ? 'a relay' : `${relays} relays`}` : ''
  if (others.length === 0) return ok(check, `no other client takes items from a list${own}`)
  const who = others.map(({ addr, cmd, isBlocked }) => `${addr} (${cmd}${isBlocked ? ', waiting' : ''})`).join(', ')
  return warn(
    check,
    'doctor.consumers.other_reader',
    `another client takes items from a list of this server: ${who}; each item goes to one consumer only`,
    config.lists.length === 0 ? undefined : 'stop the other consumer, or remove its list from ENIGMA_LISTS',
  )
}

/** Below this (bytes) a second of a busy dialler, heard late, ends the connection. Redis' own default is 32 MiB, 8 MiB for a minute. */
const SMALL_BUFFER = 8 * 1024 * 1024

/** PubSub that waits at the server for one that is slow; beyond its limit Redis cuts the connection, and what waited is lost. */
export async function checkOutputBuffer(view: SourceView): Promise<Finding> {
  const { name, setting, cli } = view
  const check = name('output-buffer')
  const match = /pubsub (\d+) (\d+) (\d+)/.exec((await setting('client-output-buffer-limit')) ?? '')
  const listeners = await listClients(view).then(
    (clients) => clients.filter(({ listens }) => listens).length,
    () => undefined,
  )
  const who =
    listeners === undefined ? '' : `; ${listeners} ${listeners === 1 ? 'client subscribes' : 'clients subscribe'} now`
  if (match === null)
    return warn(
      check,
      'doctor.output_buffer.unknown',
      `the server does not report the output buffer limit of a Pub/Sub client${who}`,
    )
  const limits = [Number(match[1]), Number(match[2])].filter((bytes) => bytes > 0)
  const text = `the output buffer limit of a Pub/Sub client is ${toText(Number(match[1]))}, or ${toText(Number(match[2]))} for ${match[3]} s${who}`
  if (limits.length > 0 && Math.min(...limits) < SMALL_BUFFER) {
    return warn(
      check,
      'doctor.output_buffer.small',
      `${text}: this is small, and Redis disconnects a relay that is slow for a moment`,
      cli('CONFIG SET client-output-buffer-limit "pubsub 268435456 67108864 60"'),
    )
  }
  return ok(check, text)
}

const toText = (bytes: number) =>
  bytes === 0 ? 'unlimited' : bytes < 1024 * 1024 ? `${bytes} bytes` : `${Math.floor(bytes / 1024 / 1024)} MiB`

/** Channels that others listen to tell how this dialler writes its keys. */
export async function checkChannels({ name, ask, config }: SourceView): Promise<Finding> {
  const channels = ((await ask('PUBSUB', 'CHANNELS', `${BASE_KEY}*`)) as unknown[]).map(String)
  const missed = channels.filter((channel) => firstMatch(config.channels, channel) === undefined)
  const check = name('channels')
  if (missed.length === 0)
    return ok(
      check,
      channels.length === 0
        ? 'no other client subscribes to a channel by name'
        : `ENIGMA_CHANNELS matches all ${channels.length} channels that other clients subscribe to`,
    )
  return warn(
    check,
    'doctor.channels.not_matched',
    `other clients subscribe to channels that ENIGMA_CHANNELS does not match: ${maskText(missed.slice(0, 5).join(', '))}${missed.length > 5 ? ` and ${missed.length - 5} more` : ''}`,
    `ENIGMA_CHANNELS=${[...config.channels, `${BASE_KEY}*`].join(',')}, if the relay should hear them`,
  )
}
