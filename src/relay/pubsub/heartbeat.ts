import { hash } from 'node:crypto'
import { RelayError } from '../errors.ts'
import { isNumber } from '../redis/numbers.ts'

const HEARTBEAT_VERSION = 'heartbeat 2'

/**
 * Returns a part of the heartbeat channel's name: the same for relays that hear the same, in whatever order their patterns are named. The
 * version keeps heartbeats of another form on a channel of their own.
 */
export const hashPatterns = (patterns: readonly string[]): string =>
  hash('sha256', JSON.stringify([HEARTBEAT_VERSION, ...[...new Set(patterns)].toSorted()])).slice(0, 16)

/**
 * A heartbeat as the script in Redis publishes it: `<number> <seal>`. Anybody may publish on its channel, and a number that no relay made
 * would begin an epoch of its own or, beyond the safe integers, make every later number the same. The seal is no secret: it keeps out
 * what was published by accident.
 */
export function parseHeartbeat(message: string): number | undefined {
  const [, digits, seal] = /^([1-9]\d{0,15}) ([0-9a-f]{16})$/.exec(message) ?? []
  const number = Number(digits)
  // The script makes the same: `string.sub(redis.sha1hex('enigma-relay ' .. n), 1, 16)`.
  return isNumber(number) && seal === hash('sha1', `enigma-relay ${number}`).slice(0, 16) ? number : undefined
}

/** A connection on which nothing at all arrives for this long (ms) counts as dead. */
export const LOST_MS = 5_000

/** Without a heartbeat for this long (ms), the connection itself is pinged: the one for commands may hang. */
const PROBE_MS = 1_500

type LivenessOptions = {
  /** Pings the subscribed connection. What was published before the server answers arrives before its answer. */
  readonly ping: () => Promise<unknown>
  readonly isReady: () => boolean
  /** Called when the connection has answered, and so delivered everything that was published before it was pinged. */
  readonly onAnswer: (askedMs: number) => void
  readonly now: () => number
  /** Monotonic, ms. Default: `performance.now`. */
  readonly clock?: () => number
}

/**
 * Tells whether a subscription is alive. Heartbeats are published on another connection, so a missing one proves nothing while that hangs. The
 * subscription is lost when nothing at all arrives, not even the answer to a PING; or when the connection answers, and yet did not deliver a
 * heartbeat that the server had published before (a proxy that forgot the subscription, or another server than the one that publishes).
 */
export function createLiveness({ ping, isReady, onAnswer, now, clock = () => performance.now() }: LivenessOptions) {
  // When anything last arrived, and when a heartbeat did.
  let aliveAt = clock()
  let heardAt = aliveAt
  // The highest number that the server published for us, and the highest that was heard.
  let published = 0
  let heard = 0
  let isDeaf = false
  let isProbing = false

  const probe = async (): Promise<void> => {
    isProbing = true
    const [before, askedMs] = [published, now()]
    try {
      await ping()
    } catch {
      // Redis before 3.0 refuses PING here, which is an answer. A lost connection ends elsewhere.
      if (!isReady()) return
    } finally {
      isProbing = false
    }
    aliveAt = clock()
    isDeaf = before > heard
    if (!isDeaf) onAnswer(askedMs)
  }
  const lost = (words: string) => new RelayError('relay.pubsub.heartbeat_lost', `${words} for ${LOST_MS} ms`)

  return {
    /** The subscription is confirmed. */
    begin(): void {
      aliveAt = heardAt = clock()
    },
    arrived(): void {
      aliveAt = clock()
    },
    heard(number: number): void {
      heard = Math.max(heard, number)
      isDeaf = false
      aliveAt = heardAt = clock()
    },
    /** The server has published a heartbeat of ours. */
    published(number: number): void {
      published = Math.max(published, number)
    },
    /** The process stood still: it read nothing, and everything still waits to be read. */
    stood(ms: number): void {
      heardAt += ms
      aliveAt += ms
    },
    /** To be called about once a second. Pings a silent connection. @throws RelayError `relay.pubsub.heartbeat_lost` */
    check(): void {
      const at = clock()
      if (isDeaf && at - heardAt > LOST_MS) throw lost('the server answers, but delivered no heartbeat')
      if (at - aliveAt > LOST_MS) throw lost('nothing arrived on the subscribed connection')
      if (at - heardAt > PROBE_MS && !isProbing) void probe()
    },
  }
}
