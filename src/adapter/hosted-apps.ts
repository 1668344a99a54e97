import { DEFAULT_LIMITS, laneOf, OTHER, parseEventType, type Limits, type Route } from '../protocol/index.ts'
import { AdapterError } from './adapter-error.ts'
import { keepErrorsQuiet } from './attempt.ts'
import type { App } from './event.ts'

/** What is asked of a route here; a whole one fits. */
type HttpRoute = Pick<Route, 'name' | 'type' | 'subType'> & Partial<HttpLimits>

/** Limits of a route that count behind HTTP, too. */
export type HttpLimits = Pick<
  Limits,
  'attempts' | 'retrySeconds' | 'outageSeconds' | 'maxAgeMs' | 'handlerSeconds' | 'lanes'
>

/**
 * A function, as a file of `functions/` exports it. One without a route takes everything that has no function of its own.
 *
 * @example
 * import * as call from './functions/agents/call.ts'
 * import * as other from './functions/other.ts'
 * const fetch = fromHttp([call, other], options)
 */
export type HttpFunction = { readonly app: App; readonly route?: HttpRoute }

/** A function behind an address, with its limits. */
export type Hosted = { readonly app: App; readonly name: string | undefined; readonly limits: HttpLimits }

/** Finds the function of a notification: by its route's name, else by its type, else the one for everything else. Undefined: none takes it. */
export type FindHosted = (routeName: string | null, type: string) => Hosted | undefined

/** The app alone, which takes everything. */
export function hostApp(app: App, route: string | undefined, limits: Partial<HttpLimits>): FindHosted {
  keepErrorsQuiet(app)
  const hosted = { app, name: route, limits: { ...DEFAULT_LIMITS, ...limits } }
  return () => hosted
}

/** @throws AdapterError `adapter.functions.invalid` when two functions would take the same notifications, or one has no app */
export function hostFunctions(functions: readonly HttpFunction[]): FindHosted {
  const [byName, byType] = [new Map<string, Hosted>(), new Map<string, Hosted>()]
  for (const { app, route = OTHER } of functions) {
    if (typeof app?.fetch !== 'function')
      throw invalid(`the function ${route.name} has no app: export one from its file, as functions/agents/call.ts does`)
    keepErrorsQuiet(app)
    const hosted = { app, name: route.name, limits: { ...DEFAULT_LIMITS, ...route } }
    const type = `${route.type}/${route.subType}`
    if (byName.has(route.name) || byType.has(type))
      throw invalid(`two functions have the route ${route.name}: pass each file of functions/ once`)
    byName.set(route.name, hosted)
    byType.set(type, hosted)
  }
  return (name, type) => {
    const { type: of, subType } = parseEventType(type) ?? { type: '', subType: '' }
    return byName.get(name ?? '') ?? byType.get(`${of}/${subType}`) ?? byName.get(OTHER.name)
  }
}

const invalid = (message: string) => new AdapterError('adapter.functions.invalid', message)

/** Of what a route may be called, a name that a header carries may be nothing else. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/

/** The name of a notification's route, by which it is found when it is parked: its function's, else the request's, else its type's. */
export function nameRoute({ name }: Hosted, header: string | null, type: string): string {
  if (name !== undefined) return name
  if (header !== null && NAME.test(header)) return header
  const parsed = parseEventType(type)
  const own = parsed === undefined ? '' : `${parsed.type}-${parsed.subType}`
  return NAME.test(own) ? own : OTHER.name
}

/** The lane that the relay would have put it in, and so the message group that it would have in a queue. */
export const toGroup = (orderKey: string, { lanes }: HttpLimits): string => String(laneOf(orderKey, lanes))
