import { canonicalType, parseKey } from './keys.ts'
import type { PacketFault } from './packet.ts'

/**
 * The route table: the only source of the names of queues and functions and of their limits.
 */
export type Route = {
  /** Unique: `agents-status`, `other`. Queue and function are named after it. */
  readonly name: string
  /** The canonical (plural) type of the key; `*` for the route that takes everything else. */
  readonly type: string
  /** The packet's `type`. */
  readonly subType: string
  /** A notification older than this (ms) is stale: it is handled, but never shown as live. Absent: never stale. */
  readonly maxAgeMs?: number
  /** How many ordered streams the route has. Changing it moves references to other lanes. */
  readonly lanes: number
  /** Requests to SQS in flight at once. */
  readonly inFlight: number
  /** How long (ms) a notification may wait for company when nothing else makes it wait; 0: leaves at once. */
  readonly lingerMs: number
  /** Least time (ms) between two requests while more than 1,000 notifications come in a second: fewer and fuller ones. 0: none. */
  readonly paceMs: number
  /** Most notifications in one pack. */
  readonly packNotifications: number
  /** Most bytes in one pack, unless one notification alone is larger. SQS bills each 64 KiB. */
  readonly packBytes: number
  /** On this attempt, what its handler fails at is parked alone. */
  readonly attempts: number
  /**
   * How often SQS hands out a message before it goes to the dead-letter queue whole. More than `attempts`: only a read model that is away for
   * hours, or a function that ends in the middle each time, comes so far.
   */
  readonly maxReceiveCount: number
  /**
   * The function's time limit (s); the queue's visibility timeout is six times this. So long waits the lane of a message whose function
   * was killed: one that fails in any other way is given back at once.
   */
  readonly timeoutSeconds: number
  /** The function's memory (MiB); its share of a processor goes with it. */
  readonly memoryMiB: number
  /** Longest time (s) for one notification: the effects of its neighbours in a batch wait for it. Absent: as long as the function may run. */
  readonly handlerSeconds?: number
  /** Longest pause (s) before one that fails is tried again: SQS holds back all that is new in its lane meanwhile. */
  readonly retrySeconds: number
  /** The same while the read model cannot be written: so long after its outage a lane may still wait. */
  readonly outageSeconds: number
  /** Most invocations of the function at once, 2 to 1,000. */
  readonly maxConcurrency: number
  /** A message that waits in the queue for longer than this (s) raises an alarm. */
  readonly alarmAgeSeconds: number
}

const DEFAULTS = {
  lanes: 64,
  inFlight: 4,
  lingerMs: 0,
  paceMs: 6,
  packNotifications: 200,
  packBytes: 64 * 1024,
  attempts: 10,
  // 3.9 hours at the pauses below.
  maxReceiveCount: 50,
  timeoutSeconds: 30,
  memoryMiB: 256,
  retrySeconds: 300,
  outageSeconds: 300,
  maxConcurrency: 10,
  alarmAgeSeconds: 300,
} as const

function route(type: string, subType: string, own: Partial<Route> = {}): Route {
  return { ...DEFAULTS, name: type === '*' ? 'other' : `${type}-${subType}`, type, subType, ...own }
}

/** Where everything goes that has no route of its own: unknown types and sub_types, and what could not be read. */
export const OTHER: Route = route('*', '*')

/** A call that is older is worthless: the agent has long been talking, or has hung up. */
const CALL_MAX_AGE_MS = 30_000

/** What people look at goes on soon after an outage, and what is handed out more often has more tries: fifty minutes of them. */
const SOON = { outageSeconds: 30, maxReceiveCount: 100 } as const

/**
 * A screen pop is waited for by a human: more of a processor, so that also a cold start is short, and no long wait for a neighbour that
 * hangs or is tried again.
 */
const CALL = {
  maxAgeMs: CALL_MAX_AGE_MS,
  paceMs: 0,
  memoryMiB: 512,
  timeoutSeconds: 10,
  handlerSeconds: 5,
  retrySeconds: 5,
  ...SOON,
  maxConcurrency: 50,
  alarmAgeSeconds: 5,
} as const

/** The type of what the relay says itself (a gap, something parked). No key of the dialler's leads to its routes. */
export const RELAY_TYPE = 'relay'
const RELAY_OWN = { lanes: 8, inFlight: 1, maxConcurrency: 2 } as const

export const ROUTES: readonly Route[] = [
  // The busiest by far: at 2,660/s and 10 ms to SQS these two take 2 ms off the median for a third more requests (npm run bench).
  route('agents', 'status', {
    lanes: 128,
    inFlight: 5,
    maxConcurrency: 50,
    alarmAgeSeconds: 60,
    retrySeconds: 30,
    attempts: 20,
    ...SOON,
  }),
  route('agents', 'call', CALL),
  route('agents', 'stats'),
  route('campaigns', 'cdr', { maxConcurrency: 50 }),
  route('campaigns', 'status'),
  route('campaigns', 'stats'),
  route('campaigns', 'dial_preview'),
  route('inbound', 'call', CALL),
  route('dialers', 'status'),
  route(RELAY_TYPE, 'alive', RELAY_OWN),
  route(RELAY_TYPE, 'gap', RELAY_OWN),
  route(RELAY_TYPE, 'parked', RELAY_OWN),
  OTHER,
]

const BY_TYPES = new Map(ROUTES.map((r) => [`${r.type}/${r.subType}`, r]))

/** The route of a type and sub_type, exactly as in the table; undefined when there is none. */
export function findRoute(type: string, subType: string): Route | undefined {
  return BY_TYPES.get(`${type}/${subType}`)
}

/** `enigma-agents-status.fifo` */
export function queueName(prefix: string, r: Route): string {
  return `${prefix}${r.name}.fifo`
}

/** `enigma-agents-status-dlq.fifo` */
export function deadLetterQueueName(prefix: string, r: Route): string {
  return `${prefix}${r.name}-dlq.fifo`
}

/** The file that exports the Hono app of a route: `functions/agents/status.ts`, or one of `src/api/relay/` for the relay's own notices. */
export const appFile = (r: Route): string => {
  if (r === OTHER) return `functions/${r.name}.ts`
  return `${r.type === RELAY_TYPE ? 'src/api' : 'functions'}/${r.type}/${r.subType}.ts`
}

/** How long (s) a queue keeps a message, and the most bytes of one: SQS takes no more of either. Source: quotas in the SQS developer guide. */
export const QUEUE_LIMITS = { retentionSeconds: 14 * 24 * 3600, messageBytes: 1024 * 1024 } as const

/** Six times the function's limit: a message that is in work is not handed out again meanwhile. Source: AWS Lambda developer guide. */
export const visibilitySeconds = (r: Route): number => r.timeoutSeconds * 6

/** Why a notification went to `other`. */
export type OtherReason = PacketFault | 'key_outside_scheme' | 'no_key_type' | 'unknown_type'

/** What a key and a packet's type say about a notification: its route, and the parts of its CloudEvents type. */
export type Routing = {
  readonly route: Route
  readonly type: string
  readonly subType: string
  readonly reference?: string
  readonly reason?: OtherReason
}

// A Click2Dial list is named after what it carries, not after a type.
const LIST_ALIASES: Readonly<Record<string, string>> = { cdr: 'campaigns' }

const NAME = /^[A-Za-z0-9_-]{1,64}$/
const nameOr = (text: string | undefined): string => (text !== undefined && NAME.test(text) ? text : 'unknown')

/**
 * Where a packet goes.
 *
 * @param key the Redis key or channel
 * @param subType the packet's `type`, or undefined with the `fault` that made it unreadable
 */
export function routePacket(key: string, subType: string | undefined, fault?: PacketFault): Routing {
  const parsed = parseKey(key)
  const written = parsed?.type === undefined ? undefined : canonicalType(parsed.type)
  const type =
    written !== undefined && subType === written && LIST_ALIASES[written] !== undefined
      ? LIST_ALIASES[written]
      : written
  // A channel that ends with the colon before its reference names none.
  const reference = parsed?.reference?.trim() === '' ? undefined : parsed?.reference
  const found =
    type !== undefined && type !== RELAY_TYPE && subType !== undefined && fault === undefined
      ? findRoute(type, subType)
      : undefined
  const to = reference === undefined ? {} : { reference }
  // A packet may call itself `*`, as the table calls the route for everything else: it is as unknown as any other.
  if (found !== undefined && found !== OTHER && type !== undefined && subType !== undefined)
    return { route: found, type, subType, ...to }
  const reason =
    fault ?? (parsed === undefined ? 'key_outside_scheme' : parsed.type === undefined ? 'no_key_type' : 'unknown_type')
  return { route: OTHER, type: nameOr(type), subType: nameOr(subType), ...to, reason }
}
