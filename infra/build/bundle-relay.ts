import { build, type Metafile, type Plugin } from 'esbuild'
import { chmod } from 'node:fs/promises'
import { resolve } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import type { StackRoute } from '../stack/stack-routes.ts'
import { BUNDLE, inlineLua, inlineRoutes, replace, root } from './bundle.ts'

export const RELAY_FILE = 'dist/enigma-relay.mjs'

/** The command line in one file that needs Node and nothing else, with the route table of the stack. `dev` is for a clone, and says so. */
export async function bundleRelay(routes: readonly StackRoute[], outfile = RELAY_FILE): Promise<Metafile> {
  const { metafile } = await build({
    ...BUNDLE,
    entryPoints: ['src/cli/main.ts'],
    outfile,
    define: { ENIGMA_VERSION: JSON.stringify(`${packageJson.version} (single file)`) },
    banner: { js: BANNER },
    // The package `redis` adds the modules of Redis Stack to it: 1 MB of memory that nothing uses.
    alias: { redis: '@redis/client' },
    plugins: [lateBuiltins, withoutStreet, inlineRoutes(routes), inlineLua, undiciClients],
  })
  await chmod(resolve(root, outfile), 0o755)
  return metafile
}

/**
 * Before all else: words for an old Node, none about the young `node:sqlite`; and `require`, which some packages call for what is
 * built into Node.
 */
const BANNER = `#!/usr/bin/env node
import { createRequire as __createRequire } from 'node:module'
if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write('enigma-relay: needs Node 24 or newer; this is ' + process.version + '\\n')
  process.exit(2)
}
const __emitWarning = process.emitWarning
process.emitWarning = (warning, type, ...more) => (type === 'ExperimentalWarning' || type?.type === 'ExperimentalWarning' ? undefined : __emitWarning.call(process, warning, type, ...more))
const require = __createRequire(import.meta.url)`

/** What an old Node has not is looked for when it is used: an import would fail before anything could be said. */
const lateBuiltins: Plugin = {
  name: 'late-builtins',
  setup(build) {
    build.onResolve({ filter: /^node:sqlite$/ }, ({ path }) => ({ path, namespace: 'late-builtins' }))
    build.onLoad({ filter: /.*/, namespace: 'late-builtins' }, ({ path }) => ({
      contents: `export const { DatabaseSync } = process.getBuiltinModule('${path}')`,
      loader: 'js',
    }))
  },
}

/** `dev` plays the street out of a clone's functions, and says so before it needs any of this. */
const withoutStreet = replace(
  'without-street',
  /\/src\/local\/view\/show-street\.ts$/,
  () => 'export const showStreet = undefined',
)

/** Of undici, the relay uses its clients. Its index loads fetch, caches, mocks and interceptors as well: 4 MB of memory. */
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
