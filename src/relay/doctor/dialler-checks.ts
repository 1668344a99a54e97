import { randomUUID } from 'node:crypto'
import { BASE_KEY, isObject, maskText, readPacket, stateKeys } from '../../protocol/index.ts'
import { KNOWN_LISTS } from '../lists/source-lists.ts'
import { firstMatch } from '../pubsub/subscription.ts'
import { isDenied, isUnknown } from '../redis/advice.ts'
import { asBytes } from '../redis/redis-client.ts'
import { RELAY_PREFIX, RELAYS_KEY } from '../redis/relay-keys.ts'
import { LEASE_MS } from '../redis/lease.ts'
import { MAX_ANSWER_MS, counted, fail, inTime, ok, warn, wordsOf, type Diagnosis, type SourceView } from './check.ts'

type KeyView = { readonly key: string; readonly type: string; readonly items: number }

/** Reads the keys of ENIGMA_LISTS, the keys that diallers are known to use, and other keys with the same prefix, in this order. */
export async function readKeys({ ask, config }: SourceView): Promise<KeyView[]> {
  const found = await scanKeys(ask).catch(() => [])
  return Promise.all(
    [...new Set([...config.lists, ...KNOWN_LISTS, ...found])].map(async (key) => {
      const type = String(await ask('TYPE', key))
      return { key, type, items: type === 'list' ? Number(await ask('LLEN', key)) : 0 }
    }),
  )
}

/** Limits the scan of a busy server: this many steps of SCAN with this many keys each. */
const MAX_SCAN_STEPS = 50
const SCAN_KEYS = 1_000

async function scanKeys(ask: SourceView['ask']): Promise<string[]> {
  const found: string[] = []
  let cursor = '0'
  for (let step = 0; step < MAX_SCAN_STEPS; step++) {
    const reply = (await ask('SCAN', cursor, 'MATCH', `${BASE_KEY}*`, 'COUNT', String(SCAN_KEYS))) as [string, string[]]
    cursor = reply[0]
    found.push(...reply[1])
    if (cursor === '0') break
  }
  return found
}

/** Whether one of the keys is the singular of the other. */
const isTwin = (one: string, other: string): boolean =>
  one !== other && one.replace(/s$/, '') === other.replace(/s$/, '')

/** Checks one list of ENIGMA_LISTS: its type, its length, and which end has the oldest item. */
export async function checkList(view: SourceView, key: string, all: readonly KeyView[]): Promise<Diagnosis> {
  const { config, cli } = view
  const { type, items } = all.find((one) => one.key === key) ?? { type: 'none', items: 0 }
  if (type === 'none') {
    const twin = all.find((one) => one.type === 'list' && isTwin(one.key, key))
    if (twin === undefined) return ok('the list is empty')
    const lists = config.lists.map((list) => (list === key ? twin.key : list)).join(',')
    const text = `this key does not exist, but ${twin.key} does, with ${counted(twin.items, 'item', 'items')}`
    return warn('doctor.list.other_key', text, `ENIGMA_LISTS=${lists}`)
  }
  if (type !== 'list') {
    const fix = `correct the key in ENIGMA_LISTS, or delete this key if nobody needs it: ${cli(`DEL ${key}`)}`
    return fail('doctor.list.wrong_type', `this key is a ${type}, not a list: the relay cannot take items from it`, fix)
  }
  const oldest = await findOldestEnd(view, key, items)
  const text = counted(items, 'item', 'items')
  if (oldest === undefined) return ok(`${text}; dialed_at does not show which end has the oldest one`)
  if (oldest === config.listEnd) return ok(`${text}, the oldest on the ${oldest}`)
  const wrong = `${text}; the oldest is on the ${oldest}, but ENIGMA_LIST_END is ${config.listEnd}, so the relay would take the newest first`
  return warn('doctor.list.wrong_end', wrong, `ENIGMA_LIST_END=${oldest}`)
}

/** How many items at each end are read. A single one may be out of order: the call dialled first may end last. */
const MAX_SAMPLED = 5

/** Returns which end of a list has the oldest items, by their `dialed_at`; undefined when that is unclear. Takes nothing. */
async function findOldestEnd({ client }: SourceView, list: string, length: number) {
  const count = Math.min(MAX_SAMPLED, Math.floor(length / 2))
  if (count === 0) return undefined
  const medianTime = async (from: number, to: number): Promise<number | undefined> => {
    const times = (await inTime(asBytes(client).lRange(list, from, to))).flatMap(dialledAt)
    return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]
  }
  const [left, right] = await Promise.all([medianTime(0, count - 1), medianTime(-count, -1)])
  if (left === undefined || right === undefined || left === right) return undefined
  return left < right ? 'left' : 'right'
}

/** Returns `dialed_at` in Unix seconds; an empty list when the item has none. */
function dialledAt(item: Buffer): number[] {
  const payload = readPacket(item).packet?.payload
  const at = isObject(payload) ? Number(payload['dialed_at']) : Number.NaN
  return Number.isFinite(at) && at > 0 ? [at] : []
}

/** Finds lists that exist and are not named in ENIGMA_LISTS, and keys that exist in singular and plural. */
export function checkNames({ config }: SourceView, all: readonly KeyView[]): Diagnosis | Diagnosis[] {
  const lists = all.filter(({ type }) => type === 'list')
  const unnamed = lists.filter(({ key }) => !config.lists.includes(key))
  const twins = lists.map(({ key }) => key).filter((key) => lists.some((other) => isTwin(other.key, key)))
  const faults = unnamed.map(({ key, items }) => {
    const text = `${key} exists with ${counted(items, 'item', 'items')}, but ENIGMA_LISTS does not name it, so the relay does not consume it`
    const fix = `ENIGMA_LISTS=${[...config.lists, key].join(',')}, if this relay should consume it`
    return warn('doctor.lists.not_named', text, fix)
  })
  if (twins.length > 0) {
    const text = `the singular and the plural of this key both exist: ${twins.join(', ')}`
    const fix = `ENIGMA_LISTS=${[...new Set([...config.lists, ...twins])].join(',')}, if this relay should consume both`
    faults.push(warn('doctor.lists.singular_and_plural', text, fix))
  }
  if (faults.length > 0) return faults
  return ok(lists.length === 0 ? 'no list of the dialler exists' : 'ENIGMA_LISTS names every list that exists')
}

/** Commands that take items from a list. The relay's own blocking move is in the second set. */
const TAKES = new Set(['blpop', 'brpop', 'blmpop', 'lpop', 'rpop', 'lmpop', 'rpoplpush', 'lmove'])
const MOVES = new Set(['brpoplpush', 'blmove'])

/** Checks for other consumers: each item goes to one consumer, so another one takes items that the relay should receive. */
export async function checkConsumers({ ask, clients, config, now }: SourceView): Promise<Diagnosis> {
  const least = String(now() - LEASE_MS)
  const [all, relays] = await Promise.all([clients(), ask('ZCOUNT', RELAYS_KEY, least, '+inf').then(Number)])
  const takers = all.filter(({ cmd }) => TAKES.has(cmd))
  const movers = all.filter(({ cmd, isBlocked }) => MOVES.has(cmd) && isBlocked)
  // A relay waits with one connection for each of its lists.
  const others = [...takers, ...movers.slice(relays * config.lists.length)]
  const own = movers.length > 0 && relays > 0 ? ` except ${relays === 1 ? 'a relay' : `${relays} relays`}` : ''
  if (others.length === 0) return ok(`no other client takes items from a list${own}`)
  const who = others.map(({ addr, cmd, isBlocked }) => `${addr} (${cmd}${isBlocked ? ', waiting' : ''})`).join(', ')
  const text = `another client takes items from a list of this server: ${who}; each item goes to one consumer only`
  const fix = 'stop the other consumer, or remove its list from ENIGMA_LISTS'
  return warn('doctor.consumers.other_reader', text, config.lists.length === 0 ? undefined : fix)
}

/** Checks that Pub/Sub messages arrive: subscribes as the relay does, and publishes a heartbeat of the doctor's own. */
export async function checkHeartbeat({ config, connect, ask, cli, user }: SourceView): Promise<Diagnosis> {
  const { channels } = config
  if (channels.length === 0) return ok('ENIGMA_CHANNELS is "none", so the relay does not subscribe to Pub/Sub')
  const channel = `${RELAY_PREFIX}heartbeat:doctor:${randomUUID()}`
  const heard = Promise.withResolvers<void>()
  const listener = await connect()
  const name = await user()
  const notAllowed = (what: string, error: unknown, rights: string) =>
    [`the user ${name} may not ${what}: ${wordsOf(error)}`, cli(`ACL SETUSER ${name} ${rights}`)] as const
  try {
    for (const pattern of channels) await inTime(listener.pSubscribe(pattern, () => undefined))
    await inTime(listener.subscribe(channel, () => heard.resolve()))
  } catch (error) {
    const what = `subscribe to ${channels.join(', ')} and ${RELAY_PREFIX}*`
    const rights = `+subscribe +psubscribe &${RELAY_PREFIX}* ${channels.map((one) => `&${one}`).join(' ')}`
    if (isDenied(error)) return fail('doctor.heartbeat.may_not_listen', ...notAllowed(what, error, rights))
    if (!isUnknown(error)) throw error
    const fix = 'remove the rename-command line from redis.conf and restart Redis'
    return fail('doctor.heartbeat.no_subscribe', `Redis refuses the subscription: ${wordsOf(error)}`, fix)
  }
  const from = performance.now()
  try {
    await ask('PUBLISH', channel, '')
  } catch (error) {
    if (!isDenied(error)) throw error
    const advice = notAllowed('publish the heartbeat', error, `+publish &${RELAY_PREFIX}*`)
    return fail('doctor.heartbeat.may_not_publish', ...advice)
  }
  try {
    await inTime(heard.promise)
  } catch {
    const text = `a published heartbeat did not arrive within ${MAX_ANSWER_MS / 1000} s: something between this host and Redis does not forward Pub/Sub messages`
    const fix = 'write the address of Redis itself in ENIGMA_SOURCES, not of a proxy'
    return fail('doctor.heartbeat.not_heard', text, fix)
  }
  const ms = Math.max(1, Math.round(performance.now() - from))
  return ok(`a published heartbeat arrived after ${ms} ms, and the user may subscribe to ${channels.join(', ')}`)
}

/** Compares the channels that other clients subscribe to with ENIGMA_CHANNELS: they show how this dialler writes its keys. */
export async function checkChannels({ ask, config }: SourceView): Promise<Diagnosis> {
  const channels = ((await ask('PUBSUB', 'CHANNELS', `${BASE_KEY}*`)) as unknown[]).map(String)
  if (channels.length === 0) return ok('no other client subscribes to a channel by name')
  const missed = channels.filter((channel) => firstMatch(config.channels, channel) === undefined)
  if (missed.length === 0)
    return ok(`ENIGMA_CHANNELS matches all ${channels.length} channels that other clients subscribe to`)
  const some = maskText(missed.slice(0, 5).join(', ')) + (missed.length > 5 ? ` and ${missed.length - 5} more` : '')
  const text = `other clients subscribe to channels that ENIGMA_CHANNELS does not match: ${some}`
  const fix = `ENIGMA_CHANNELS=${[...config.channels, `${BASE_KEY}*`].join(',')}, if the relay should hear them`
  return warn('doctor.channels.not_matched', text, fix)
}

/** Checks whether the relay can read the dialler's present states after a gap. Without them it works, but states stay unsure until they are heard. */
export async function checkStates({ ask, config, cli, user }: SourceView): Promise<Diagnosis> {
  const { resync: base, channels } = config
  if (base === undefined || channels.length === 0)
    return ok('the relay does not read the states that the dialler keeps (ENIGMA_RESYNC, ENIGMA_CHANNELS)')
  const { campaigns, agentsOf } = stateKeys(base)
  let key = campaigns
  try {
    const refs = await readFields(ask, key)
    if (refs.length === 0) {
      return ok(`the dialler keeps no states in ${key}: after a gap states stay unsure until they are heard`)
    }
    let agents = 0
    // Limits the work on a busy server.
    for (const campaign of refs.slice(0, MAX_SAMPLED)) {
      key = agentsOf(campaign)
      agents += (await readFields(ask, key)).length
    }
    const more = refs.length > MAX_SAMPLED ? `, in the first ${MAX_SAMPLED}` : ''
    return ok(`${counted(refs.length, 'campaign', 'campaigns')} in ${campaigns} with ${agents} agent states${more}`)
  } catch (error) {
    if (!isDenied(error) && !/WRONGTYPE/.test(wordsOf(error))) throw error
    const text = `the relay cannot read ${key} (${wordsOf(error)}): after a gap states stay unsure until they are heard`
    if (!isDenied(error)) return warn('doctor.states.unreadable', text, 'correct ENIGMA_RESYNC, or set it to none')
    const grant = cli(`ACL SETUSER ${await user()} +hscan +hgetall ~${campaigns} ~${agentsOf('*')}`)
    return warn('doctor.states.unreadable', text, `${grant}, or ENIGMA_RESYNC=none`)
  }
}

/** Returns the field names at the beginning of a hash, read as the relay reads them. */
async function readFields(ask: SourceView['ask'], key: string): Promise<string[]> {
  const flat = await ask('HSCAN', key, '0', 'COUNT', '100').then(
    (reply) => (reply as [string, string[]])[1],
    async (error: unknown) => {
      if (!isDenied(error) && !isUnknown(error)) throw error
      return (await ask('HGETALL', key)) as string[]
    },
  )
  return flat.filter((_, at) => at % 2 === 0)
}
