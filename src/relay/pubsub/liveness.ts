import { RelayError } from '../errors.ts'

/** A connection on which nothing at all arrives for this long (ms) counts as dead. */
export const LOST_MS = 5_000

/** Without a heartbeat for this long (ms), the connection itself is pinged: the one for commands may hang. */
const PROBE_MS = 1_500

export type LivenessOptions = {
  /** Pings the subscribed connection. What was published before the server answers arrives before its answer. */
  readonly ping: () => Promise<unknown>
  /** Whether the connection is open. */
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

  return {
    /** The subscription is confirmed. */
    begin(): void {
      aliveAt = heardAt = clock()
    },
    /** Something arrived on the connection. */
    arrived(): void {
      aliveAt = clock()
    },
    /** A heartbeat was heard. */
    heard(number: number): void {
      heard = Math.max(heard, number)
      isDeaf = false
      aliveAt = heardAt = clock()
    },
    /** The server has published a heartbeat of ours. */
    published(number: number): void {
      published = Math.max(published, number)
    },
    /** The process stood still for so long (ms): it read nothing, and everything still waits to be read. */
    stood(ms: number): void {
      heardAt += ms
      aliveAt += ms
    },
    /** To be called about once a second. Pings a silent connection. @throws RelayError `relay.pubsub.heartbeat_lost` */
    check(): void {
      const at = clock()
      if (isDeaf && at - heardAt > LOST_MS) {
        throw new RelayError(
          'relay.pubsub.heartbeat_lost',
          `the server answers, but delivered no heartbeat for ${LOST_MS} ms`,
        )
      }
      if (at - aliveAt > LOST_MS)
        throw new RelayError(
          'relay.pubsub.heartbeat_lost',
          `nothing arrived on the subscribed connection for ${LOST_MS} ms`,
        )
      if (at - heardAt > PROBE_MS && !isProbing) void probe()
    },
  }
}
