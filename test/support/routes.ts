import { readDeclarations } from '../../src/lambda/declarations.ts'
import { createRoutes, type Route } from '../../src/protocol/index.ts'
import { createStamp } from '../../src/relay/notification/stamp.ts'

/** What `functions/` declares. */
export const DECLARED = await readDeclarations()

/** The route table of it. */
export const ROUTES = createRoutes(DECLARED)

export const stamp = createStamp(ROUTES)

/** @throws when there is none */
export function routeOf(type: string, subType: string): Route {
  const route = ROUTES.find(type, subType)
  if (route === undefined) throw new TypeError(`functions/ declares no ${type}/${subType}`)
  return route
}
