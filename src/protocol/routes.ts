import { canonicalType, parseKey } from './keys.ts'
import type { PacketFault } from './packet.ts'
import { DEFAULT_LIMITS, type Route } from './route.ts'

/** Where everything goes that has no route of its own: unknown types and sub_types, and what could not be read. */
export const OTHER: Route = { ...DEFAULT_LIMITS, name: 'other', type: '*', subType: '*' }

/** The type of what the relay says itself. No key of the dialler's leads to its routes. */
export const RELAY_TYPE = 'relay'

const ownRoute = (subType: string): Route => ({
  ...DEFAULT_LIMITS,
  name: `${RELAY_TYPE}-${subType}`,
  type: RELAY_TYPE,
  subType,
  lanes: 8,
  inFlight: 1,
  maxConcurrency: 2,
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

// A Click2Dial list is named after what it carries, not after a type.
const LIST_ALIASES: Readonly<Record<string, string>> = { cdr: 'campaigns' }

const NAME = /^[A-Za-z0-9_-]{1,64}$/
const nameOr = (text: string | undefined): string => (text !== undefined && NAME.test(text) ? text : 'unknown')

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
  const type =
    written !== undefined && subType === written && LIST_ALIASES[written] !== undefined
      ? LIST_ALIASES[written]
      : written
  // A channel that ends with the colon before its reference names none.
  const reference = parsed?.reference?.trim() === '' ? undefined : parsed?.reference
  const found =
    type !== undefined && type !== RELAY_TYPE && subType !== undefined && fault === undefined
      ? routes.find(type, subType)
      : undefined
  const to = reference === undefined ? {} : { reference }
  // A packet may call itself `*`, as the table calls the route for everything else: it is as unknown as any other.
  if (found !== undefined && found !== OTHER && type !== undefined && subType !== undefined)
    return { route: found, type, subType, ...to }
  const reason =
    fault ?? (parsed === undefined ? 'key_outside_scheme' : parsed.type === undefined ? 'no_key_type' : 'unknown_type')
  return { route: OTHER, type: nameOr(type), subType: nameOr(subType), ...to, reason }
}
