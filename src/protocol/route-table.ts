import { ProtocolError } from './notification.ts'
import { canonicalType, parseKey, type PacketFault } from './packet.ts'
import { DEFAULT_LIMITS, type Limits, type Route } from './route.ts'
import { isObject } from './text.ts'

/** Where everything goes that has no route of its own: unknown types and sub_types, and what could not be read. */
export const OTHER: Route = { ...DEFAULT_LIMITS, name: 'other', type: '*', subType: '*' }

/** The type of what the relay says itself. No key of the dialler's leads to its routes. */
export const RELAY_TYPE = 'relay'

const OWN_LIMITS = { ...DEFAULT_LIMITS, lanes: 8, inFlight: 1, maxConcurrency: 2 }
const ownRoute = (subType: string): Route => ({
  ...OWN_LIMITS,
  name: `${RELAY_TYPE}-${subType}`,
  type: RELAY_TYPE,
  subType,
})

/** The relay's own notices (it is ready, a gap, a parked notification), and the steps of replays, which the API asks for. */
export const RELAY_ROUTES = {
  alive: ownRoute('alive'),
  gap: ownRoute('gap'),
  parked: ownRoute('parked'),
  replay: ownRoute('replay'),
} as const

/** The route table of a stack. */
export type Routes = {
  /** Those declared in `functions/`, the relay's own, and `other` last. */
  readonly all: readonly Route[]
  /** The route of a type and sub_type, exactly as in the table; undefined when there is none. */
  readonly find: (type: string, subType: string) => Route | undefined
}

/** The table of these routes with the relay's own and `other`. Nothing is checked here: `parseRoutes` and the build do. */
export function createRoutes(declared: readonly Route[]): Routes {
  const all = [...declared, ...Object.values(RELAY_ROUTES), OTHER]
  const byTypes = new Map(all.map((route) => [`${route.type}/${route.subType}`, route]))
  return { all, find: (type, subType) => byTypes.get(`${type}/${subType}`) }
}

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

const nameOr = (text = ''): string => (/^[A-Za-z0-9_-]{1,64}$/.test(text) ? text : 'unknown')

/**
 * Where a packet goes.
 *
 * @param routes the table of the stack
 * @param key the Redis key or channel
 * @param subType the packet's `type`, or undefined with the `fault` that made it unreadable
 */
export function routePacket(routes: Routes, key: string, subType: string | undefined, fault?: PacketFault): Routing {
  const parsed = parseKey(key)
  const written = parsed?.type === undefined ? undefined : canonicalType(parsed.type)
  // A Click2Dial list is named after what it carries, not after a type.
  const type = written === 'cdr' && subType === 'cdr' ? 'campaigns' : written
  // A channel that ends with the colon before its reference names none.
  const reference = parsed?.reference?.trim() === '' ? undefined : parsed?.reference
  const to = reference === undefined ? {} : { reference }
  if (type !== undefined && type !== RELAY_TYPE && subType !== undefined && fault === undefined) {
    const route = routes.find(type, subType)
    // A packet may call itself `*`, as the table calls the route for everything else: it is as unknown as any other.
    if (route !== undefined && route !== OTHER) return { route, type, subType, ...to }
  }
  const reason =
    fault ?? (parsed === undefined ? 'key_outside_scheme' : parsed.type === undefined ? 'no_key_type' : 'unknown_type')
  return { route: OTHER, type: nameOr(type), subType: nameOr(subType), ...to, reason }
}

/** The least and the most that each limit may be. Sources: quotas of SQS and Lambda, and CreateEventSourceMapping. */
const RANGES: Readonly<Record<keyof Limits, readonly [least: number, most: number]>> = {
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

/** Of queues, functions and parts of a template. Queue names have 80 characters, of which 40 may be the prefix. */
const NAME = /^[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*$/
const MOST_NAME = 31

/** What is wrong with a declared route by itself, each with what to write instead. */
export function* faultsOfRoute(route: Route): Generator<string> {
  const { type, subType, name } = route
  if (type === RELAY_TYPE || type === OTHER.type)
    return yield `the type "${type}" is reserved; write the type of the dialler's key, such as agents`
  const plural = canonicalType(type)
  if (plural !== type) yield `the type "${type}" is written "${plural}" here, whichever of the two the dialler writes`
  for (const [word, text] of Object.entries({ type, sub_type: subType }))
    if (!NAME.test(text)) yield `the ${word} "${text}" can name no queue; use letters, digits, - and _ between them`
  if (name.length > MOST_NAME) yield `"${name}" has more than ${MOST_NAME} characters, which is too long for a queue`
  const limits = Object.entries(RANGES) as [keyof Limits, readonly [number, number]][]
  for (const [limit, [least, most]] of limits) {
    const value: unknown = route[limit]
    if (value === undefined && (limit === 'maxAgeMs' || limit === 'handlerSeconds')) continue
    if (!Number.isInteger(value) || Number(value) < least || Number(value) > most)
      yield `${limit} is ${String(value)}; write a whole number from ${least} to ${most}`
  }
  if (route.attempts > route.maxReceiveCount)
    yield `attempts (${route.attempts}) is more than maxReceiveCount (${route.maxReceiveCount}); write at most as many`
  if ((route.handlerSeconds ?? 0) > route.timeoutSeconds)
    yield `handlerSeconds (${route.handlerSeconds}) is more than timeoutSeconds (${route.timeoutSeconds}); write at most as many`
}

/** The same for the parts of a template, which know no case and no dashes. */
const plain = ({ name }: Route): string => name.toLowerCase().replace(/[_-]/g, '')

/** Routes whose queues or functions could not be told apart, in pairs. */
export function* sameNames(routes: readonly Route[]): Generator<readonly [Route, Route]> {
  const seen = new Map<string, Route>()
  for (const route of routes) {
    const former = seen.get(plain(route))
    if (former !== undefined) yield [former, route]
    seen.set(plain(route), route)
  }
}

/** The table as the relay reads it: everything that it and the queues need to know, as JSON. */
export const formatRoutes = (routes: readonly Route[]): string =>
  `${JSON.stringify(routes, ['name', 'type', 'subType', ...Object.keys(RANGES)], 2)}\n`

/** Reads what `formatRoutes` wrote. @throws ProtocolError `protocol.routes.invalid` that says what is wrong */
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
  for (const [one, other] of sameNames(routes)) throw refuse(`the routes ${one.name} and ${other.name} have one queue`)
  return createRoutes(routes)
}
