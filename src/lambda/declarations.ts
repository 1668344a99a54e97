import { once } from 'node:events'
import { existsSync, globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import {
  faultsOfRoute,
  formatRoutes,
  isObject,
  OTHER,
  parseRoutes,
  RELAY_ROUTES,
  RELAY_TYPE,
  sameNames,
  type DeclaredRoute,
  type Route,
  type Routes,
} from '../protocol/index.ts'
import { FunctionsError } from '../settings/index.ts'

/** The route table that the build of a published version wrote. A clone does not have it. */
const BUILT = new URL('../routes.json', import.meta.url)
const ROOT = new URL('../../', import.meta.url)

/** Returns the file that exports the Hono app of a route: `functions/agents/status.ts`, or a file of this project for routes of the relay. */
export const appFile = ({ name, type, subType }: Route): string => {
  if (name === OTHER.name) return `functions/${name}.ts`
  if (name === RELAY_ROUTES.replay.name) return 'src/lambda/replay-function.ts'
  return type === RELAY_TYPE ? 'src/api/relay-functions.ts' : `functions/${type}/${subType}.ts`
}

/**
 * Reads the routes that the files of `functions/` declare. Skips files that export neither a route nor an app, because other files import them.
 *
 * @param root the folder that contains `functions/`, with a trailing slash
 * @throws FunctionsError `functions.routes.invalid` with all faults, one per line
 */
export async function readDeclarations(root: URL = ROOT): Promise<readonly DeclaredRoute[]> {
  const files = globSync('functions/*/*.ts', { cwd: fileURLToPath(root) }).map((file) => file.replaceAll('\\', '/'))
  const faults: string[] = []
  const declared: DeclaredRoute[] = []
  for (const file of files.toSorted()) {
    const route = await load(root, file, faults)
    if (route === undefined) continue
    declared.push(route)
    faults.push(...[...faultsOfFile(file, route)].map((fault) => `${file}: ${fault}`))
  }
  for (const [one, other] of sameNames(declared))
    faults.push(
      `${appFile(other)}: its queue would have the same name as the queue of ${appFile(one)}; rename one of them`,
    )
  if (faults.length > 0) throw new FunctionsError('functions.routes.invalid', faults.join('\n'))
  return declared
}

/** Reads the route table of this version: from the build, or in a clone from the declarations in `functions/`. @throws FunctionsError `functions.routes.invalid` */
export async function readOwnRoutes(): Promise<Routes> {
  if (existsSync(BUILT)) return parseRoutes(await readFile(BUILT, 'utf8'))
  const thread = new Worker(new URL(import.meta.url), { workerData: READ_DECLARATIONS })
  try {
    const [table] = (await once(thread, 'message')) as [string]
    return parseRoutes(table)
  } catch (cause) {
    throw new FunctionsError('functions.routes.invalid', cause instanceof Error ? cause.message : String(cause), {
      cause,
    })
  } finally {
    await thread.terminate()
  }
}

async function load(root: URL, file: string, faults: string[]): Promise<DeclaredRoute | undefined> {
  const example = /^functions\/(?<type>[^/]+)\/(?<subType>[^/]+)\.ts$/.exec(file)?.groups
  try {
    // The query makes this import a separate module: the function itself is imported later, when its environment variables are set.
    const { route, app } = (await import(new URL(`${file}?declaration`, root).href)) as Record<string, unknown>
    if (route === undefined && app === undefined) return undefined
    if (!isObject(app) || !('fetch' in app)) faults.push(`${file} does not export a Hono app named app`)
    if (isObject(route) && typeof route['type'] === 'string' && typeof route['subType'] === 'string')
      return route as DeclaredRoute
    faults.push(
      `${file} does not declare a route; write export const route = defineRoute({ type: '${example?.['type']}', subType: '${example?.['subType']}', payload: … })`,
    )
  } catch (error) {
    faults.push(`${file} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`)
  }
  return undefined
}

function* faultsOfFile(file: string, route: DeclaredRoute): Generator<string> {
  yield* faultsOfRoute(route)
  if (appFile(route) !== file && route.type !== RELAY_TYPE && route.type !== OTHER.type)
    yield `it declares ${route.type}/${route.subType}; move it to ${appFile(route)}, or declare the type and sub_type of its path`
  if (!isObject(route.payload) || !('~standard' in route.payload))
    yield 'its payload is not a schema; use one from a Standard Schema library, such as v.object({ … }) of valibot'
}

/** Marks the thread that `readOwnRoutes` starts: the import of `functions/` must not affect the process that reads their routes. */
const READ_DECLARATIONS = 'enigma-relay: read the declarations of functions/'

// Not awaited: a function may import this module too, and would wait for its own import. A rejection ends the thread with its error.
if (workerData === READ_DECLARATIONS)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- the port of a thread, not a window
  void readDeclarations().then((declared) => parentPort?.postMessage(formatRoutes(declared)))
