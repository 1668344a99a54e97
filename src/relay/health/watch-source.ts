import { createNews, sleep, sleepToBeat, within } from '../../runtime/index.ts'
import { describe, RelayError } from '../errors.ts'
import { PARKED_KEY, RELAYS_KEY, SEEN_EMPTY_KEY } from '../redis/keys.ts'
import { LEASE_MS } from '../redis/lease.ts'
import type { ListState } from '../lists/list-intake.ts'
import type { Tools } from '../metrics.ts'
import { connect, type Redis } from '../redis/client.ts'
import { isAnswer, judgeRedis, sentenceOf, type RedisFault } from '../redis/advice.ts'
import type { OutputBuffer } from '../redis/output-buffer.ts'
import type { Identity } from '../redis/source-identity.ts'

export type WatchOptions = Tools & {
  readonly sourceId: string
  readonly client: Redis
  readonly identity: Pick<Identity, 'look'>
  readonly lists: ReadonlyMap<string, ListState>
  readonly outputBuffer: OutputBuffer
  /** Called when Redis has answered, with what it refuses, if it answered with an error. */
  readonly onAnswered: (atMs: number, refusal: RedisFault | undefined) => void
  /** Called when Redis refuses nothing, and has told its name: it may be written to. */
  readonly onWell: () => void
}

/** How often (ms) the server is checked for metrics and readiness. */
const WATCH_MS = 2_000

/** A connection without an answer for this long (ms) is made anew; if it was only slow, that costs nothing. */
const ANSWER_MS = 5_000

/** Checks a source until the signal aborts, in one round trip: whether it answers, its name, what waits there, and which relays run. */
export async function watchSource(options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { sourceId, client, identity, outputBuffer, log, now, onAnswered, onWell } = options
  const change = createNews()
  while (!signal.aborted) {
    let isAnswered = false
    try {
      const answer = client.ping()
      const looks = Promise.allSettled([identity.look(), look(options), outputBuffer.look()])
      const refusal = await refusalOf(answer)
      // Once for each thing that Redis refuses, and once when it refuses nothing any more.
      const news = change(refusal?.words)
      if (news === 'new' && refusal !== undefined)
        log.warn({ code: refusal.code, source: sourceId, error: refusal.words }, sentenceOf(refusal))
      if (news === 'over')
        log.info({ code: 'relay.redis.recovered', source: sourceId }, 'Redis answers without an error again')
      onAnswered(now(), refusal)
      const [identified] = await looks
      isAnswered = true
      if (refusal === undefined && identified.status === 'fulfilled') onWell()
      if (refusal === undefined && identified.status === 'rejected')
        log.debug(
          { code: 'relay.source.not_verified', source: sourceId, error: describe(identified.reason) },
          'The relay could not verify the source id in Redis; it retries',
        )
    } catch (error) {
      log.debug(
        { code: 'relay.redis.not_watched', source: sourceId, error: describe(error) },
        'Redis did not answer the regular check',
      )
      // The connection is dead, whatever TCP says.
      if (error instanceof RelayError && client.isOpen) {
        client.destroy()
        await connect(client, signal)
      }
    }
    await (isAnswered ? sleepToBeat(WATCH_MS, signal) : sleep(WATCH_MS / 10, signal))
  }
}

/** Every error that Redis answers with is an answer; only silence is none. @throws RelayError `relay.redis.no_answer`, or what the client throws */
const refusalOf = (answer: Promise<unknown>): Promise<RedisFault | undefined> =>
  within(
    ANSWER_MS,
    answer.then(
      () => undefined,
      (error: unknown) => (isAnswer(error) ? judgeRedis(error) : Promise.reject(error)),
    ),
    () => new RelayError('relay.redis.no_answer', `Redis did not answer within ${ANSWER_MS} ms`),
  )

/** Reads each figure by itself: a key of the wrong type, or a command that is not allowed, hides no other figure. */
async function look({ sourceId, client, lists, metrics, now }: WatchOptions): Promise<void> {
  const source = { source: sourceId }
  await Promise.allSettled([
    client.lLen(PARKED_KEY).then((items) => metrics.parkedItems.set(source, items)),
    client.zCount(RELAYS_KEY, now() - LEASE_MS, '+inf').then((relays) => metrics.relays.set(source, relays)),
    ...[...lists].map(async ([list, state]) => {
      const [items, empty] = await Promise.all([client.lLen(list), client.hGet(SEEN_EMPTY_KEY, list)])
      state.items = items
      metrics.backlog.set({ ...source, list }, items)
      // Never seen empty: nobody knows.
      const waitedMs = items === 0 ? 0 : empty === null ? Number.NaN : Math.max(0, now() - Number(empty))
      metrics.backlogWait.set({ ...source, list }, waitedMs / 1000)
    }),
  ])
}
