import { formatKey, formatPacket, stateKeys } from '../../protocol/index.ts'
import { backoffMs, createChangeDetector, sleep } from '../../runtime/index.ts'
import { describe } from '../relay-error.ts'
import { toItem, type Acknowledger, type Item } from '../item.ts'
import type { Parking } from '../parking/parking.ts'
import { isDenied, isUnknown } from '../redis/advice.ts'
import type { Redis } from '../redis/redis-client.ts'
import type { SourceContext, SourceOptions } from '../source.ts'
import { firstMatch } from './subscription.ts'

export type ResyncOptions = SourceContext &
  Pick<SourceOptions, 'ownIndex' | 'stamp' | 'push'> & {
    readonly parking: Pick<Parking, 'park'>
  }

export type Resync = {
  /**
   * Reads the dialler's present states and sends each as a notification. Replaces an earlier resync that has not ended.
   *
   * @param atMs since when (Unix ms) Pub/Sub is heard: the time of these notifications, so that every later notification counts as newer
   */
  begin: (atMs: number) => void
}

/** How long (ms) after Pub/Sub is heard the hashes are read: the dialler may publish a state before it stores it. */
const SETTLE_MS = 1_000

/** The maximum number of states that are in memory, and on their way, at once. */
const MAX_AT_ONCE = 200

/** The maximum number of states sent per second. */
const MAX_RATE = 1_000

/** The state of a campaign, or of an agent in a campaign. */
type State = { readonly ref: string; readonly status: string; readonly campaign?: string }

/** A state is a word. Other values in a hash of this name are not states. */
const WORD = /^[A-Za-z][A-Za-z_ -]{0,63}$/

/**
 * Creates the resync: it repairs the states that were missed during a gap, from hashes that the dialler keeps in the same Redis. They go into their
 * lanes as if they had been heard, but not through the journal: a relay that is killed in the middle reads all of them again when it starts. A
 * portion is read after the previous one is settled. Where the hashes are absent or may not be read, the relay logs that once, and states stay
 * unsure until they are heard.
 */
export function createResync(options: ResyncOptions, signal: AbortSignal): Resync {
  const { sourceId, client, config, numbers, ownIndex, stamp, push, parking, metrics, log } = options
  const { resync: base, channels } = config
  const [refusals, absence] = [createChangeDetector(), createChangeDetector()]
  const keys = stateKeys(base)
  const patterns = channels.map(toLatin1)
  const channelOf = ({ ref, campaign }: State): string | undefined => {
    const type = campaign === undefined ? 'campaign' : 'agent'
    return [`${type}s`, type]
      .map((word) => formatKey({ type: word, reference: ref }))
      .find((channel) => firstMatch(patterns, toLatin1(channel)) !== undefined)
  }
  const toItems = (states: readonly State[], number: number, firstIndex: number, timeMs: number, own: Acknowledger) =>
    states.flatMap((state, at): Item[] => {
      const { ref, status, campaign } = state
      const channel = channelOf(state)
      if (ref === '' || channel === undefined || !WORD.test(status)) return []
      const payload = { ref, status, ...(campaign === undefined ? {} : { campaign_ref: campaign }) }
      const packet = Buffer.from(formatPacket({ type: 'status', payload }))
      const origin = { sourceId, transport: 'resync' as const, channel, number, index: firstIndex + at, timeMs }
      const stamped = stamp(packet, origin)
      // A stack without a route for states has no use for them.
      if (stamped.reason !== undefined) return []
      metrics.received.inc({ source: sourceId, transport: 'resync', route: stamped.route.name })
      return [toItem(stamped, own, at)]
    })

  /** Resolves when all of them are settled, or the relay ends. Returns how many there were. */
  const send = async (states: readonly State[], number: number, firstIndex: number, atMs: number): Promise<number> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const end = () => resolve()
    let open = 0
    const settle = () => void (--open === 0 && end())
    const items = toItems(states, number, firstIndex, atMs, {
      settle,
      park: async (item, reason, detail) => {
        if (await parking.park(item, reason, detail)) settle()
      },
    })
    open = items.length
    if (open === 0 || signal.aborted) return 0
    signal.addEventListener('abort', end)
    items.forEach(push)
    await promise
    signal.removeEventListener('abort', end)
    return items.length
  }

  const onRefused = (key: string, error: unknown): void => {
    if (refusals(describe(error)) === 'new')
      log.info(
        { code: 'relay.resync.refused', source: sourceId, key, error: describe(error) },
        'The relay may not read the states that the dialler keeps; states stay unsure after a gap until they are heard. Grant the right, or set ENIGMA_RESYNC=none',
      )
  }

  const sendAll = async (atMs: number, until: AbortSignal): Promise<void> => {
    let [index, sent, isRefused] = [ownIndex, 0, false]
    let number: number | undefined
    const refuse = (key: string, error: unknown): void => {
      isRefused = true
      onRefused(key, error)
    }
    for await (const states of inPortions(readStates(client, keys, refuse))) {
      if (until.aborted) return
      const from = performance.now()
      number ??= await numbers.next()
      sent += await send(states, number, index, atMs)
      index += states.length
      await sleep(Math.max(0, (states.length * 1_000) / MAX_RATE - (performance.now() - from)), until)
    }
    if (until.aborted) return
    if (!isRefused) refusals(undefined)
    const isAbsent = number === undefined && !isRefused
    const isNews = absence(isAbsent ? 'absent' : undefined) === 'new'
    if (number !== undefined)
      log.info(
        { code: 'relay.resync.done', source: sourceId, states: sent },
        'The relay read the current states of campaigns and agents from the dialler, and the target accepted them',
      )
    else if (isNews)
      log.info(
        { code: 'relay.resync.absent', source: sourceId, key: keys.campaigns },
        'The dialler keeps no states that the relay could read; states stay unsure after a gap until they are heard',
      )
  }

  const run = async (atMs: number, until: AbortSignal): Promise<void> => {
    await sleep(SETTLE_MS, until)
    for (let failures = 1; !until.aborted; failures++) {
      try {
        return await sendAll(atMs, until)
      } catch (error) {
        // When Redis is reachable again, a new gap usually begins another resync, which replaces this one.
        log.debug(
          { code: 'relay.resync.failed', source: sourceId, error: describe(error) },
          'The relay could not read the states that the dialler keeps; it retries',
        )
        await sleep(backoffMs(failures, { baseMs: 500, maxMs: 30_000 }), until)
      }
    }
  }

  let former = Promise.resolve()
  let latest: AbortController | undefined
  return {
    begin(atMs) {
      if (base === undefined) return
      latest?.abort()
      latest = new AbortController()
      const until = AbortSignal.any([signal, latest.signal])
      // Waits until the last portion of the earlier resync is accepted, so that only one portion is in memory, however many gaps there are.
      former = former.then(() => run(atMs, until))
    },
  }
}

/** Whether asking again would not help: a missing right or command, or a key that is not a hash. */
const isRefusal = (error: unknown): boolean => isDenied(error) || isUnknown(error) || /WRONGTYPE/.test(describe(error))

const toLatin1 = (text: string): string => Buffer.from(text).toString('latin1')

/** Yields all states. `onRefused` is called for a hash that Redis does not let us read. @throws what the connection throws */
async function* readStates(
  client: Redis,
  keys: ReturnType<typeof stateKeys>,
  onRefused: (key: string, error: unknown) => void,
): AsyncGenerator<State[]> {
  const campaigns: string[] = []
  try {
    for await (const fields of scanHash(client, keys.campaigns)) {
      campaigns.push(...fields.map(([ref]) => ref))
      yield fields.map(([ref, status]) => ({ ref, status }))
    }
  } catch (error) {
    if (!isRefusal(error)) throw error
    return onRefused(keys.campaigns, error)
  }
  for (const campaign of new Set(campaigns)) {
    const key = keys.agentsOf(campaign)
    try {
      for await (const fields of scanHash(client, key)) yield fields.map(([ref, status]) => ({ ref, status, campaign }))
    } catch (error) {
      if (!isRefusal(error)) throw error
      onRefused(key, error)
      // A right that is missing for one hash is missing for all.
      if (isDenied(error)) return
    }
  }
}

type Fields = (readonly [field: string, value: string])[]

/** Yields the fields of a hash, a few at a time; none when the key does not exist. @throws what Redis answers */
async function* scanHash(client: Redis, key: string): AsyncGenerator<Fields> {
  let cursor = '0'
  do {
    let flat: string[]
    try {
      ;[cursor, flat] = await client.sendCommand<[string, string[]]>([
        'HSCAN',
        key,
        cursor,
        'COUNT',
        String(MAX_AT_ONCE),
      ])
    } catch (error) {
      // Redis before 2.8 has no HSCAN.
      if (!isUnknown(error) && !isDenied(error)) throw error
      flat = await client.sendCommand<string[]>(['HGETALL', key])
      cursor = '0'
    }
    const fields: Fields = []
    for (let at = 0; at + 1 < flat.length; at += 2) fields.push([flat[at] as string, flat[at + 1] as string])
    if (fields.length > 0) yield fields
  } while (cursor !== '0')
}

/** Yields the same states in portions of `MAX_AT_ONCE`. */
async function* inPortions(parts: AsyncIterable<readonly State[]>): AsyncGenerator<State[]> {
  const waiting: State[] = []
  for await (const states of parts) {
    waiting.push(...states)
    while (waiting.length >= MAX_AT_ONCE) yield waiting.splice(0, MAX_AT_ONCE)
  }
  if (waiting.length > 0) yield waiting
}
