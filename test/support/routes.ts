import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readDeclarations } from '../../src/lambda/declarations.ts'
import { createRoutes, formatRoutes, type Route } from '../../src/protocol/index.ts'
import { createStamp } from '../../src/relay/item.ts'

/** The declarations in `functions/`. */
export const DECLARED = await readDeclarations()

/** The route table of these declarations. */
export const ROUTES = createRoutes(DECLARED)

/** Functions that declare variables or secrets which only the user has, such as those of a CRM. Deployed or bundled, they fail without them. */
export const NEEDY: ReadonlySet<string> = new Set(
  DECLARED.filter(({ variables = {}, secrets = [] }) => Object.keys(variables).length + secrets.length > 0).map(
    ({ name }) => name,
  ),
)

/** The secrets that functions declare, each with a dummy value. */
export const SECRETS = Object.fromEntries(
  DECLARED.flatMap(({ secrets = [] }) => secrets).map((name) => [name, 'of-the-test']),
)

/** A file with the route table, so that a child process need not load `functions/`. */
export const ROUTES_FILE = join(tmpdir(), `enigma-routes-${process.pid}.json`)
writeFileSync(ROUTES_FILE, formatRoutes(DECLARED))
process.once('exit', () => rmSync(ROUTES_FILE, { force: true }))

export const stamp = createStamp(ROUTES)

/** Returns a route. @throws TypeError if `functions/` does not declare it */
export function routeOf(type: string, subType: string): Route {
  const route = ROUTES.find(type, subType)
  if (route === undefined) throw new TypeError(`functions/ declares no ${type}/${subType}`)
  return route
}
