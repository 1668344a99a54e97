import { build, type BuildOptions, type Metafile, type OutputFile, type Plugin } from 'esbuild'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { createApi } from '../../src/api/index.ts'
import { appFile } from '../../src/lambda/declarations.ts'
import { OTHER, RELAY_ROUTES, RELAY_TYPE } from '../../src/protocol/index.ts'
import type { Reads } from '../../src/store/index.ts'
import { DeployError } from '../deploy-error.ts'
import type { StackRoute } from '../stack/stack-routes.ts'
import { bundleConsole, type ConsoleBundle } from './bundle-console.ts'
import { BUNDLE, formatReport, inlineLua, inlineRoutes, root } from './bundle.ts'

/** The folder of the bundles, such as `dist/functions/campaigns-cdr/index.mjs` with its source map. */
export const FUNCTIONS_FOLDER = 'dist/functions'

/** The limit (bytes) on the project's own code in a bundle: more takes too long to load. Code and packages of a user's handler are not limited. */
export const MAX_OWN_BYTES = 150_000

/** Returns the bytes of a bundle that come from the project's rooms. */
export const ownBytes = ({ inputs }: Metafile['outputs'][string]): number =>
  Object.entries(inputs)
    .filter(([file]) => file.startsWith('src/'))
    .reduce((sum, [, { bytesInOutput }]) => sum + bytesInOutput, 0)

/** Many npm packages call `require` for Node's own modules. An ES module has no `require` by itself. */
const REQUIRE = `import { createRequire as __createRequire } from 'node:module'
const require = __createRequire(import.meta.url)`

/** The options of all bundles of functions. The AWS SDK is part of Lambda's runtime. */
export const FUNCTION_BUNDLE = {
  ...BUNDLE,
  banner: { js: REQUIRE },
  outExtension: { '.js': '.mjs' },
  external: ['@aws-sdk/*'],
  plugins: [inlineLua],
} satisfies BuildOptions

/** The folder of the console's files, relative to the API's bundle. */
const CONSOLE = './console/'

/**
 * Writes a minified ES module for each function, and the console's files beside that of the API. The same sources give the same bytes.
 *
 * @param given the console, if it is already bundled
 * @throws the bundler's error, or one that names the bundles that are too large
 */
export async function bundleFunctions(routes: readonly StackRoute[], given?: ConsoleBundle): Promise<Metafile> {
  const { files } = given ?? (await bundleConsole())
  const entryPoints = Object.fromEntries([
    ...routes.map(({ name }) => [`${name}/index`, `${ENTRY}${name}`]),
    ['api/index', 'functions/api.ts'],
  ]) as Record<string, string>
  const { metafile, outputFiles } = await build({
    ...FUNCTION_BUNDLE,
    entryPoints,
    outdir: FUNCTIONS_FOLDER,
    define: { ENIGMA_CONSOLE: JSON.stringify(CONSOLE) },
    write: false,
    plugins: [
      ...FUNCTION_BUNDLE.plugins,
      entries(routes),
      inlineRoutes(routes),
      openApiDocument(await readOpenApiDocument()),
    ],
  })
  const large = Object.entries(metafile.outputs).filter(([, output]) => ownBytes(output) > MAX_OWN_BYTES)
  if (large.length > 0) {
    const sizes = large.map(([file, output]) => `${file} has ${ownBytes(output)} bytes of the project`).join(', ')
    throw new DeployError(
      'deploy.bundle.too_large',
      `${sizes}, more than the limit of ${MAX_OWN_BYTES}. Import less, or import it only when it is needed:\n${formatReport(metafile)}`,
    )
  }
  const folder = join(root, FUNCTIONS_FOLDER)
  const beside = [...files].map(([name, contents]) => ({ path: join(folder, 'api', CONSOLE, name), contents }))
  await writeBundles(folder, [...outputFiles, ...beside])
  return metafile
}

/** Writes changed files, each in one step, because another process may be packaging or running them. Removes all other files. */
async function writeBundles(folder: string, files: readonly Pick<OutputFile, 'path' | 'contents'>[]): Promise<void> {
  const wanted = new Set(files.flatMap(({ path }) => [path, dirname(path)]))
  const there = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  for (const entry of there) {
    const path = join(entry.parentPath, entry.name)
    // A file that another process is writing ends with the id of that process.
    if (!wanted.has(path) && !/\.\d+$/.test(path)) await rm(path, { recursive: true, force: true })
  }
  for (const { path, contents } of files) {
    const former = await readFile(path).catch(() => undefined)
    if (former !== undefined && Buffer.compare(former, contents) === 0) continue
    await mkdir(dirname(path), { recursive: true })
    const temporary = `${path}.${process.pid}`
    await writeFile(temporary, contents)
    await rename(temporary, path)
  }
}

/** The prefix of the entry points that are generated for routes: the app of the route's file as a Lambda handler. */
const ENTRY = 'function:'

const entries = (routes: readonly StackRoute[]): Plugin => ({
  name: 'entries',
  setup(bundler) {
    bundler.onResolve({ filter: /^function:/ }, ({ path }) => ({
      path: path.slice(ENTRY.length),
      namespace: 'function',
    }))
    bundler.onLoad({ filter: /.*/, namespace: 'function' }, ({ path }) => {
      const route = routes.find(({ name }) => name === path)
      return route && { contents: formatEntry(route), resolveDir: root, loader: 'js' }
    })
  },
})

/** Formats an entry point. The wiring comes first, because it requests secrets while the rest is loaded. The relay's routes and `other` have no declaration. */
function formatEntry(route: StackRoute): string {
  const { name, type, subType } = route
  if (name === RELAY_ROUTES.replay.name) return `export { handler } from ${JSON.stringify(`./${appFile(route)}`)}`
  const isDeclared = type !== RELAY_TYPE && type !== OTHER.type
  const constant = type === RELAY_TYPE ? `RELAY_ROUTES.${subType}` : 'OTHER'
  return `
import { toHandler } from './src/lambda/wiring.ts'
${isDeclared ? '' : "import { OTHER, RELAY_ROUTES } from './src/protocol/index.ts'"}
import { app${isDeclared ? ', route' : ''} } from ${JSON.stringify(`./${appFile(route)}`)}
export const handler = toHandler(app, ${isDeclared ? 'route' : constant})
`
}

/** Returns the OpenAPI document that the read API serves. */
export async function readOpenApiDocument(): Promise<string> {
  const token = 'of-the-build-and-of-nobody-else-at-all'
  const app = createApi({ read: {} as Reads, token })
  const response = await app.request('/openapi.json', { headers: { authorization: `Bearer ${token}` } })
  if (!response.ok)
    throw new DeployError('deploy.openapi.failed', `the read API answers ${response.status} to GET /openapi.json`)
  return response.text()
}

/**
 * Creates a plugin that replaces the generator of the OpenAPI document with the finished document, which never changes while the API runs.
 * The checks of parameters stay as they are.
 */
function openApiDocument(document: string): Plugin {
  const packed = brotliCompressSync(document, {
    params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY },
  }).toString('base64')
  return {
    name: 'openapi-document',
    setup(bundler) {
      bundler.onResolve({ filter: /^(?:hono-openapi|\.\/openapi\.ts)$/ }, ({ path, resolveDir }) => ({
        path,
        namespace: 'openapi-document',
        sideEffects: false,
        pluginData: { resolveDir },
      }))
      bundler.onLoad({ filter: /.*/, namespace: 'openapi-document' }, ({ path, pluginData }) => ({
        contents: path === 'hono-openapi' ? HONO_OPENAPI : OPENAPI.replace('PACKED', packed),
        resolveDir: (pluginData as { resolveDir: string }).resolveDir,
        loader: 'js',
      }))
      // Only the document needs the summaries and descriptions of endpoints and their answers.
      bundler.onLoad({ filter: /\/src\/api\/(?:[^/]+-routes|next-round)\.ts$/ }, async ({ path }) => ({
        contents: removeDescriptions(await readFile(path, 'utf8')),
        loader: 'ts',
      }))
      // Only the document needs the schemas of answers. Checks of parameters also use the arrays of allowed words, so these stay.
      bundler.onLoad({ filter: /\/src\/answers\/[^/]+\.ts$/ }, async ({ path }) => {
        if (path.endsWith('/index.ts')) return undefined
        const exported = (await readFile(path, 'utf8')).matchAll(/^export const (\w+)(?: = (\[[^\]]*\]) as const$)?/gm)
        const lines = [...exported].map(([, name, words = 'undefined']) => `export const ${name} = ${words}`)
        return { contents: lines.join('\n'), loader: 'js' }
      })
    },
  }
}

/** Match a string literal, and the properties that describe an endpoint, as the formatter writes them. */
const TEXT = /(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)/.source
const DESCRIPTIONS = new RegExp(`\\b(?:summary|description):\\s+${TEXT}(?:\\s+\\+\\s+${TEXT})*,`, 'g')

/** Removes the descriptions of endpoints. The line breaks stay, so that stack traces name the right lines. */
const removeDescriptions = (source: string): string =>
  source.replace(DESCRIPTIONS, (property) => property.replace(/[^\n]/g, ''))

/** Replaces `src/api/openapi.ts`. */
const OPENAPI = `
import { brotliDecompressSync } from 'node:zlib'
import { query } from './query-parameters.ts'
const pass = async (_c, next) => { await next() }
const packed = 'PACKED'
const document = (c) => c.body(brotliDecompressSync(Buffer.from(packed, 'base64')).toString(), 200, { 'content-type': 'application/json' })
export const problemAs = () => {}
export const describe = () => pass
export const openApi = () => [pass, query(), document]
`

/** Replaces `hono-openapi`. */
const HONO_OPENAPI = `
export { sValidator as validator } from '@hono/standard-validator'
const pass = async (_c, next) => { await next() }
export const describeRoute = () => pass
export const resolver = () => undefined
`
