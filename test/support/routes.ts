import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readDeclarations } from '../../src/lambda/declarations.ts'
import { createRoutes, formatRoutes, type Route } from '../../src/protocol/index.ts'
import { createStamp } from '../../src/relay/item.ts'

/** What `functions/` declares. */
export const DECLARED = await readDeclarations()

/** The route table of it. */
export const ROUTES = createRoutes(DECLARED)

/** The functions that need what only their user has, such as a CRM: deployed, and in bundles, they do not work without it. */
export const NEEDY: ReadonlySet<string> = new Set(
  DECLARED.filter(({ variables = {}, secrets = [] }) => Object.keys(variables).length + secrets.length > 0).map(
    ({ name }) => name,
  ),
)

/** The secrets that they declare, each with a value that opens nothing. */
export const SECRETS = Object.fromEntries(
  DECLARED.flatMap(({ secrets = [] }) => secrets).map((name) => [name, 'of-the-test']),
)

/** The same in a file: a process that reads it need not load `functions/`. */
export const ROUTES_FILE = join(tmpdir(), `enigma-routes-${process.pid}.json`)
writeFileSync(ROUTES_FILE, formatRoutes(DECLARED))
process.once('exit', () => rmSync(ROUTES_FILE, { force: true }))

export const stamp = createStamp(ROUTES)

/** @throws when there is none */
export function routeOf(type: string, subType: string): Route {
  const route = ROUTES.find(type, subType)
  if (route === undefined) throw new TypeError(`functions/ declares no ${type}/${subType}`)
  return route
}
