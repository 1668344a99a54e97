import { ProtocolError } from './notification.ts'
import { canonicalType, parseKey, type PacketFault } from './packet.ts'
import { DEFAULT_LIMITS, type Limits, type Route } from './route.ts'
import { isObject } from './text.ts'

/** The route of every notification without a route of its own: unknown types and sub_types, and packets that cannot be read. */
export const OTHER: Route = { ...DEFAULT_LIMITS, name: 'other', type: '*', subType: '*' }

/** The type of the relay's own notices. No key of a dialler leads to its routes. */
export const RELAY_TYPE = 'relay'

const OWN_LIMITS = { ...DEFAULT_LIMITS, lanes: 8, inFlight: 1, maxConcurrency: 2 }
const ownRoute = (subType: string): Route => ({
  ...OWN_LIMITS,
  name: `${RELAY_TYPE}-${subType}`,
  type: RELAY_TYPE,
  subType,
})

/** The routes of the relay's notices (it is ready, a gap, a parked notification) and of the steps of replays, which the API requests. */
export const RELAY_ROUTES = {
  alive: ownRoute('alive'),
  gap: ownRoute('gap'),
  parked: ownRoute('parked'),
  replay: ownRoute('replay'),
} as const

/** The route table of a stack. */
export type Routes = {
  /** The routes that `functions/` declares, then those of the relay, then `other`. */
  readonly all: readonly Route[]
  /** Returns the route of a type and sub_type, spelled as in the table, or undefined. */
  readonly find: (type: string, subType: string) => Route | undefined
}

/** Makes the table of these routes, those of the relay and `other`. Does not validate them: `parseRoutes` and the build do. */
export function createRoutes(declared: readonly Route[]): Routes {
  const all = [...declared, ...Object.values(RELAY_ROUTES), OTHER]
  const byTypes = new Map(all.map((route) => [`${route.type}/${route.subType}`, route]))
  return { all, find: (type, subType) => byTypes.get(`${type}/${subType}`) }
}

/** Why a notification goes to the route `other`. */
export type OtherReason = PacketFault | 'key_outside_scheme' | 'no_key_type' | 'unknown_type'

/** The route of a packet, and the parts of its CloudEvents type, derived from its key and its `type`. */
export type Routing = {
  readonly route: Route
  readonly type: string
  readonly subType: string
  readonly reference?: string
  readonly reason?: OtherReason
}

const nameOr = (text = ''): string => (/^[A-Za-z0-9_-]{1,64}$/.test(text) ? text : 'unknown')

/**
 * Finds the route of a packet.
 *
 * @param routes the route table of the stack
 * @param key the Redis key or channel
 * @param subType the `type` of the packet; undefined if it could not be read because of `fault`
 */
export function routePacket(routes: Routes, key: string, subType: string | undefined, fault?: PacketFault): Routing {
  const parsed = parseKey(key)
  const written = parsed?.type === undefined ? undefined : canonicalType(parsed.type)
  // The list of Click2Dial is named after the CDRs in it, not after a type.
  const type = written === 'cdr' && subType === 'cdr' ? 'campaigns' : written
  // A channel that ends with the colon before its reference has none.
  const reference = parsed?.reference?.trim() === '' ? undefined : parsed?.reference
  const to = reference === undefined ? {} : { reference }
  if (type !== undefined && type !== RELAY_TYPE && subType !== undefined && fault === undefined) {
    const route = routes.find(type, subType)
    // `other` has the type `*` in the table. A packet with this type is as unknown as any other.
    if (route !== undefined && route !== OTHER) return { route, type, subType, ...to }
  }
  const reason =
    fault ?? (parsed === undefined ? 'key_outside_scheme' : parsed.type === undefined ? 'no_key_type' : 'unknown_type')
  return { route: OTHER, type: nameOr(type), subType: nameOr(subType), ...to, reason }
}

/** The minimum and the maximum of each limit. Sources: quotas of SQS and Lambda, and CreateEventSourceMapping in the Lambda API reference. */
const RANGES: Readonly<Record<keyof Limits, readonly [min: number, max: number]>> = {
  maxAgeMs: [1, 14 * 24 * 3_600_000],
  lanes: [1, 10_000],
  inFlight: [1, 100],
  lingerMs: [0, 60_000],
  paceMs: [0, 1_000],
  packNotifications: [1, 10_000],
  packBytes: [1_024, 1_048_576],
  attempts: [1, 1_000],
  maxReceiveCount: [1, 1_000],
  timeoutSeconds: [1, 900],
  memoryMiB: [128, 10_240],
  handlerSeconds: [1, 900],
  retrySeconds: [1, 43_200],
  outageSeconds: [1, 43_200],
  maxConcurrency: [2, 1_000],
  alarmAgeSeconds: [1, 14 * 24 * 3_600],
}

/** The maximum length of the prefix of queue names. SQS allows 80 characters for the name of a queue. */
export const MAX_PREFIX_LENGTH = 40

/** Valid in names of queues, functions and template resources. */
const NAME = /^[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*$/
/** 80 characters without the longest prefix and the ending `-dlq.fifo`. */
const MAX_NAME_LENGTH = 31

/** Yields the faults of a single declared route, each with its fix. */
export function* faultsOfRoute(route: Route): Generator<string> {
  const { type, subType, name } = route
  if (type === RELAY_TYPE || type === OTHER.type)
    return yield `the type "${type}" is reserved; write the type of the dialler's key, such as agents`
  const plural = canonicalType(type)
  if (plural !== type) yield `the type "${type}" is written "${plural}" here, even if the dialler writes "${type}"`
  for (const [word, text] of Object.entries({ type, sub_type: subType }))
    if (!NAME.test(text))
      yield `the ${word} "${text}" cannot be part of a queue's name; use letters and digits, with - or _ between them`
  if (name.length > MAX_NAME_LENGTH)
    yield `"${name}" has more than ${MAX_NAME_LENGTH} characters, which is too long for a queue`
  const limits = Object.entries(RANGES) as [keyof Limits, readonly [number, number]][]
  for (const [limit, [min, max]] of limits) {
    const value: unknown = route[limit]
    if (value === undefined && (limit === 'maxAgeMs' || limit === 'handlerSeconds')) continue
    if (!Number.isInteger(value) || Number(value) < min || Number(value) > max)
      yield `${limit} is ${String(value)}; write a whole number from ${min} to ${max}`
  }
  if (route.attempts > route.maxReceiveCount)
    yield `attempts (${route.attempts}) is more than maxReceiveCount (${route.maxReceiveCount}); write at most ${route.maxReceiveCount}`
  if ((route.handlerSeconds ?? 0) > route.timeoutSeconds)
    yield `handlerSeconds (${route.handlerSeconds}) is more than timeoutSeconds (${route.timeoutSeconds}); write at most ${route.timeoutSeconds}`
}

/** Returns a name in the form for comparing template resources: in lower case, without dashes and underscores. */
const toPlainName = ({ name }: Route): string => name.toLowerCase().replace(/[_-]/g, '')

/** Yields pairs of routes whose queues, functions or template resources would have the same name. */
export function* sameNames(routes: readonly Route[]): Generator<readonly [Route, Route]> {
  const seen = new Map<string, Route>()
  for (const route of routes) {
    const former = seen.get(toPlainName(route))
    if (former !== undefined) yield [former, route]
    seen.set(toPlainName(route), route)
  }
}

/** Writes a route table as JSON, with everything that the relay and the queues need. */
export const formatRoutes = (routes: readonly Route[]): string =>
  `${JSON.stringify(routes, ['name', 'type', 'subType', ...Object.keys(RANGES)], 2)}\n`

/** Reads a route table that `formatRoutes` wrote. @throws ProtocolError `protocol.routes.invalid`, which names the fault */
export function parseRoutes(text: string): Routes {
  const refuse = (words: string, cause?: unknown) => new ProtocolError('protocol.routes.invalid', words, { cause })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw refuse('the route table is not JSON', cause)
  }
  if (!Array.isArray(value)) throw refuse('the route table is not a JSON array')
  const routes = value.map((one: unknown): Route => {
    if (!isObject(one) || ['name', 'type', 'subType'].some((member) => typeof one[member] !== 'string'))
      throw refuse('a route in the table has no name, type or subType')
    return one as Route
  })
  for (const route of routes)
    for (const fault of faultsOfRoute(route)) throw refuse(`the route ${route.name}: ${fault}`)
  for (const [one, other] of sameNames(routes))
    throw refuse(`${one.name} and ${other.name} have the same queue; rename one`)
  return createRoutes(routes)
}
