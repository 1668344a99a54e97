import { build, type BuildOptions, type Metafile, type Plugin } from 'esbuild'
import { globSync, readFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync } from 'node:zlib'
import packageJson from '../../package.json' with { type: 'json' }
import { formatRoutes, OTHER, RELAY_TYPE, type Route } from '../../src/protocol/index.ts'
import type { StackRoute } from '../stack/stack-routes.ts'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** The options of all bundles. */
export const BUNDLE = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  conditions: ['source'],
  // A stack trace names files and lines of the sources. It does not need the text of the sources.
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
} as const satisfies BuildOptions

/** Creates a plugin that replaces the files that match the filter with a text. */
export const replace = (name: string, filter: RegExp, contents: (path: string) => string): Plugin => ({
  name,
  setup: (bundler) => bundler.onLoad({ filter }, ({ path }) => ({ contents: contents(path), loader: 'js' })),
})

/** The modules, relative to `src`, that read Lua scripts from the folder `lua` beside them. */
export const LUA_READERS = ['store/lua', 'relay/redis/lua'] as const

/**
 * Reads the files of a reader, by name. Indents and comments are removed, because functions send the scripts to the database. Headers (`-- name: …`)
 * remain, because they separate the scripts of a file. @param file path of the reader
 */
function readScripts(file: string): Readonly<Record<string, string>> {
  const paths = globSync(join(dirname(file), 'lua/*.lua')).toSorted()
  return Object.fromEntries(
    paths.map((path) => [basename(path, '.lua'), readFileSync(path, 'utf8').replace(/^ *(--(?! name: ).*\n)?/gm, '')]),
  )
}

/** Formats a module that contains the scripts, as a replacement for a reader. @param file path of the reader */
export const formatLua = (file: string): string =>
  `const scripts = ${JSON.stringify(readScripts(file), null, 1)}\nexport const readLua = (name) => scripts[name]\n`

/** Puts the scripts into a bundle, which has no files beside it. They are compressed, because they would be a third of the project's own code in it. */
export const inlineLua = replace(
  'inline-lua',
  /\/src\/(?:store|relay\/redis)\/lua\.ts$/,
  (file) => `import { brotliDecompressSync } from 'node:zlib'
const packed = '${brotliCompressSync(JSON.stringify(readScripts(file))).toString('base64')}'
const scripts = JSON.parse(brotliDecompressSync(Buffer.from(packed, 'base64')).toString())
export const readLua = (name) => scripts[name]
`,
)

/** Formats the routes that `functions/` declares as a file for `ENIGMA_ROUTES`. */
export const formatTable = (routes: readonly Route[]): string =>
  formatRoutes(routes.filter(({ type }) => type !== RELAY_TYPE && type !== OTHER.type))

/** Puts the route table into a bundle, which has no `functions/` beside it. */
export const inlineRoutes = (routes: readonly Route[]): Plugin =>
  replace(
    'inline-routes',
    /\/src\/lambda\/declarations\.ts$/,
    () => `import { createRoutes } from '../protocol/index.ts'
export const readOwnRoutes = () => Promise.resolve(createRoutes(${formatTable(routes)}))`,
  )

/** Returns the package or the room that an input of a bundle belongs to. */
function partOf(input: string): string {
  const ofPackage = /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(input)?.[1]
  if (ofPackage !== undefined) return ofPackage
  const [first = input, second] = input.replace(/^[a-z-]+:/, '').split('/')
  return first === 'src' && second !== undefined ? `src/${second}` : first
}

export const toKilobytes = (bytes: number): string => (bytes / 1000).toFixed(1)

/** Formats a line for each bundle: its size and its three largest inputs, in kB (1,000 bytes). */
export function formatReport(metafile: Metafile): string {
  const rows = Object.entries(metafile.outputs)
    .filter(([file]) => file.endsWith('.mjs'))
    .map(([file, { bytes, inputs }]) => {
      const parts = new Map<string, number>()
      for (const [input, { bytesInOutput }] of Object.entries(inputs))
        parts.set(partOf(input), (parts.get(partOf(input)) ?? 0) + bytesInOutput)
      const largest = [...parts]
        .toSorted(([, a], [, b]) => b - a)
        .slice(0, 3)
        .map(([name, size]) => `${name} ${toKilobytes(size)}`)
      return {
        name: file.replace(/^dist\/(functions\/)?/, '').replace(/\/index\.mjs$/, ''),
        size: toKilobytes(bytes),
        largest: largest.join(', '),
      }
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return formatColumns([
    ['bundle', 'kB', 'largest inputs, kB'],
    ...rows.map(({ name, size, largest }) => [name, size, largest]),
  ])
}

/** Formats the rows of a report: the first column aligned to the left, numbers to the right, the last column as it is. */
export function formatColumns(rows: readonly (readonly string[])[]): string {
  const width = Math.max(...rows.map(([name = '']) => name.length))
  return rows
    .map(([name = '', ...cells]) => {
      const last = cells.pop() ?? ''
      return `${name.padEnd(width)}${cells.map((cell) => `  ${cell.padStart(7)}`).join('')}  ${last}`
    })
    .join('\n')
}

/**
 * Bundles one ES module for an edge runtime from the clone's sources. It needs no files and no modules of Node. The bundlers of platforms
 * produce the same from the package.
 *
 * @param entry a file that exports the handlers as its default, such as `examples/cloudflare/worker.ts`, or the text of such a file
 * @throws the bundler's error, also if a file imports a module of Node
 */
export async function bundleEdge(entry: string | { readonly contents: string }): Promise<string> {
  const { outputFiles } = await build({
    ...BUNDLE,
    absWorkingDir: root,
    ...(typeof entry === 'string'
      ? { entryPoints: [entry] }
      : { stdin: { contents: entry.contents, resolveDir: root, sourcefile: 'worker.ts', loader: 'ts' as const } }),
    platform: 'neutral',
    target: 'es2024',
    // The conditions of wrangler, besides that of the sources.
    conditions: [...BUNDLE.conditions, 'workerd', 'worker', 'browser'],
    mainFields: ['browser', 'module', 'main'],
    sourcemap: false,
    metafile: false,
    plugins: [inlinePlainLua],
    write: false,
  })
  return (outputFiles[0] as (typeof outputFiles)[number]).text
}

/** Inlines the scripts without compression, because decompressing them needs a module of Node. */
const inlinePlainLua = replace('inline-plain-lua', /\/src\/store\/lua\.ts$/, formatLua)

export const RELAY_FILE = 'dist/enigma-relay.mjs'

/** Bundles the command line into one file that needs only Node, with the route table of the stack. `dev` works only in a clone, and says so. */
export async function bundleRelay(routes: readonly StackRoute[], outfile = RELAY_FILE): Promise<Metafile> {
  const { metafile } = await build({
    ...BUNDLE,
    entryPoints: ['src/cli/main.ts'],
    outfile,
    define: { ENIGMA_VERSION: JSON.stringify(`${packageJson.version} (single file)`) },
    banner: { js: BANNER },
    // The package `redis` adds the Redis Stack modules to `@redis/client`. They take 1 MB of memory, and nothing uses them.
    alias: { redis: '@redis/client' },
    plugins: [lateBuiltins, withoutStreet, inlineRoutes(routes), inlineLua, undiciClients],
  })
  await chmod(resolve(root, outfile), 0o755)
  return metafile
}

/**
 * Code that runs before everything else: it rejects an old Node, silences the warning about the experimental `node:sqlite`, and defines
 * `require`, which some packages call for Node's own modules.
 */
const BANNER = `#!/usr/bin/env node
import { createRequire as __createRequire } from 'node:module'
if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write('enigma-relay: needs Node 24 or newer; this is ' + process.version + ': install Node 24 (cli.launch.old_node)\\n')
  process.exit(2)
}
const __emitWarning = process.emitWarning
process.emitWarning = (warning, type, ...more) => (type === 'ExperimentalWarning' || type?.type === 'ExperimentalWarning' ? undefined : __emitWarning.call(process, warning, type, ...more))
const require = __createRequire(import.meta.url)`

/** Replaces imports of modules that an old Node lacks, because such an import fails before the banner can report the old Node. */
const lateBuiltins: Plugin = {
  name: 'late-builtins',
  setup(bundler) {
    bundler.onResolve({ filter: /^node:sqlite$/ }, ({ path }) => ({ path, namespace: 'late-builtins' }))
    bundler.onLoad({ filter: /.*/, namespace: 'late-builtins' }, ({ path }) => ({
      contents: `export const { DatabaseSync } = process.getBuiltinModule('${path}')`,
      loader: 'js',
    }))
  },
}

/** Leaves the street out of the bundle: `dev` needs a clone, and reports a missing clone before it loads the street. */
const withoutStreet = replace(
  'without-street',
  /\/src\/local\/view\/show-street\.ts$/,
  () => 'export const showStreet = undefined',
)

/** Bundles only undici's clients, which the relay uses. Its index also loads fetch, caches, mocks and interceptors: 4 MB of memory. */
const undiciClients = replace(
  'undici-clients',
  /\/node_modules\/undici\/index\.js$/,
  () => `
import api from './lib/api/index.js'
import Dispatcher from './lib/dispatcher/dispatcher.js'
Object.assign(Dispatcher.prototype, api)
export { default as Agent } from './lib/dispatcher/agent.js'
export { default as Pool } from './lib/dispatcher/pool.js'
export { default as ProxyAgent } from './lib/dispatcher/proxy-agent.js'
export { default as buildConnector } from './lib/core/connect.js'`,
)
