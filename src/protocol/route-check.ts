import { ProtocolError } from './errors.ts'
import { isObject } from './json.ts'
import { canonicalType } from './keys.ts'
import { createRoutes, OTHER, RELAY_TYPE, type Routes } from './routes.ts'
import type { Limits, Route } from './route.ts'

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

const OPTIONAL: readonly string[] = ['maxAgeMs', 'handlerSeconds'] satisfies (keyof Limits)[]

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
    if (value === undefined && OPTIONAL.includes(limit)) continue
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
export function formatRoutes(routes: readonly Route[]): string {
  const limits = Object.keys(RANGES) as (keyof Limits)[]
  const plainRoutes = routes.map((route) => ({
    name: route.name,
    type: route.type,
    subType: route.subType,
    ...Object.fromEntries(limits.filter((limit) => route[limit] !== undefined).map((limit) => [limit, route[limit]])),
  }))
  return `${JSON.stringify(plainRoutes, null, 2)}\n`
}

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
