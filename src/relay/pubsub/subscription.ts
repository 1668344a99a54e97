import { hash } from 'node:crypto'
import { RelayError } from '../relay-error.ts'
import { isRelayNumber } from '../redis/relay-keys.ts'

/**
 * Whether a channel matches a pattern of PSUBSCRIBE, Redis' glob: `*`, `?`, `[a-z]`, `[^a]`, `\\` before a literal character. Source: stringmatchlen
 * in Redis' util.c, whose odd cases (an unclosed bracket, a reversed range) are followed.
 */
export function matchesPattern(pattern: string, text: string): boolean {
  let p = 0
  let t = 0
  let starP = -1
  let starT = 0
  while (t < text.length) {
    if (pattern[p] === '*') {
      starP = ++p
      starT = t
      continue
    }
    const step = p < pattern.length ? matchOne(pattern, p, text.charCodeAt(t)) : -1
    if (step < 0 && starP < 0) return false
    p = step < 0 ? starP : p + step
    t = step < 0 ? ++starT : t + 1
  }
  while (pattern[p] === '*') p++
  return p >= pattern.length
}

/** Returns how many units of the pattern at `p` match one unit of text, or -1. */
function matchOne(pattern: string, p: number, unit: number): number {
  const head = pattern[p]
  if (head === '?') return 1
  if (head === '[') return matchSet(pattern, p, unit)
  if (head === '\\' && p + 1 < pattern.length) return pattern.charCodeAt(p + 1) === unit ? 2 : -1
  return pattern.charCodeAt(p) === unit ? 1 : -1
}

function matchSet(pattern: string, start: number, unit: number): number {
  let p = start + 1
  const not = pattern[p] === '^'
  if (not) p++
  let match = false
  while (p < pattern.length && pattern[p] !== ']') {
    if (pattern[p] === '\\' && p + 1 < pattern.length) {
      p++
      if (pattern.charCodeAt(p) === unit) match = true
    } else if (pattern[p + 1] === '-' && p + 2 < pattern.length) {
      const a = toChar(pattern.charCodeAt(p))
      const b = toChar(pattern.charCodeAt(p + 2))
      const c = toChar(unit)
      if (c >= Math.min(a, b) && c <= Math.max(a, b)) match = true
      p += 2
    } else if (pattern.charCodeAt(p) === unit) match = true
    p++
  }
  const end = p < pattern.length ? p + 1 : p
  return match !== not ? end - start : -1
}

/** Redis compares the ends of a range as C's `char`, which is signed on x86. The difference shows only for a range with an end outside ASCII. */
const toChar = (unit: number): number => (unit > 127 ? unit - 256 : unit)

/** Returns the first pattern that matches. Where patterns overlap, Redis sends a copy for each, and only this one counts. */
export function firstMatch(patterns: readonly string[], channel: string): string | undefined {
  return patterns.find((pattern) => matchesPattern(pattern, channel))
}

const HEARTBEAT_VERSION = 'heartbeat 2'

/**
 * Returns a part of the heartbeat channel's name: the same for relays that subscribe to the same patterns, in any order. The version keeps heartbeats
 * of another form on a channel of their own.
 */
export const hashPatterns = (patterns: readonly string[]): string =>
  hash('sha256', JSON.stringify([HEARTBEAT_VERSION, ...[...new Set(patterns)].toSorted()])).slice(0, 16)

/**
 * Parses a heartbeat as the script in Redis publishes it: `<number> <seal>`. Anybody may publish on its channel. A number that no relay made would
 * begin an epoch of its own or, beyond the safe integers, make every later number the same. The seal is no secret: it rejects messages that were
 * published by accident.
 */
export function parseHeartbeat(message: string): number | undefined {
  const [, digits, seal] = /^([1-9]\d{0,15}) ([0-9a-f]{16})$/.exec(message) ?? []
  const number = Number(digits)
  // The script computes the same: `string.sub(redis.sha1hex('enigma-relay ' .. n), 1, 16)`.
  return isRelayNumber(number) && seal === hash('sha1', `enigma-relay ${number}`).slice(0, 16) ? number : undefined
}

/** A connection on which nothing at all arrives for this long (ms) counts as dead. */
export const LOST_MS = 5_000

/** Without a heartbeat for this long (ms), the relay pings the subscribed connection: the connection for commands may hang. */
const PROBE_MS = 1_500

type LivenessOptions = {
  /** Pings the subscribed connection. Messages published before the server answers arrive before its answer. */
  readonly ping: () => Promise<unknown>
  readonly isReady: () => boolean
  /** Called when the connection has answered, and so has delivered every message published before the ping. */
  readonly onAnswer: (askedMs: number) => void
  readonly now: () => number
  /** Monotonic, ms. Default: `performance.now`. */
  readonly clock?: () => number
}

/**
 * Creates the check whether a subscription is alive. Heartbeats are published on another connection, so a missing one proves nothing while that
 * connection hangs. The subscription is lost in two cases: nothing at all arrives, not even the answer to a PING; or the connection answers, but did
 * not deliver a heartbeat that the server had published before (a proxy that lost the subscription, or another server than the one that publishes).
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
      // Redis before 3.0 refuses PING here, which is an answer. A lost connection is handled elsewhere.
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
    /** Records that the subscription is confirmed. */
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
    /** Records that the server has published a heartbeat of ours. */
    published(number: number): void {
      published = Math.max(published, number)
    },
    /** Records that the process was suspended for this long: it read nothing, and all messages of that time still wait to be read. */
    noteStandstill(ms: number): void {
      heardAt += ms
      aliveAt += ms
    },
    /** Checks the subscription, and pings a silent connection. Call it about once a second. @throws RelayError `relay.pubsub.heartbeat_lost` */
    check(): void {
      const at = clock()
      if (isDeaf && at - heardAt > LOST_MS) throw lost('the server answers, but delivered no heartbeat')
      if (at - aliveAt > LOST_MS) throw lost('nothing arrived on the subscribed connection')
      if (at - heardAt > PROBE_MS && !isProbing) void probe()
    },
  }
}
