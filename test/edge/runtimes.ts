import { createAdaptorServer } from '@hono/node-server'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Miniflare } from 'miniflare'
import { consoleFrom, createEdge } from '../../src/edge/index.ts'
import { functions } from '../../functions/all.ts'
import { listen } from '../../src/local/servers.ts'
import { bundleEdge } from '../../infra/build/bundle.ts'
import type { ConsoleBundle } from '../../infra/build/bundle-console.ts'

/** A deployment: its variables and the console's files. */
export type Deployment = { readonly env: Readonly<Record<string, string>>; readonly page: ConsoleBundle }

/** A runtime with a deployment, which listens at `url`. */
export type Running = { readonly url: string; readonly stop: () => Promise<void> }

/** Starts the edge on Node, behind an HTTP server. */
export async function startOnNode({ env, page }: Deployment): Promise<Running> {
  const { fetch } = createEdge({
    functions,
    env,
    console: () => consoleFrom((name) => Promise.resolve(page.files.get(name))),
  })
  return listen(createAdaptorServer({ fetch, overrideGlobalObjects: false }) as Server)
}

/** Writes the console's files to a folder. */
async function writePage({ files }: ConsoleBundle): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'enigma-edge-'))
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes)
  return folder
}

/** Reads the settings of examples/cloudflare that this test applies. */
async function readWrangler() {
  const text = await readFile(new URL('../../examples/cloudflare/wrangler.jsonc', import.meta.url), 'utf8')
  const { compatibility_date: compatibilityDate, assets } = JSON.parse(
    text.replace(/^ *\/\/.*$/gm, '').replace(/,(?=\s*[}\]])/g, ''),
  ) as { compatibility_date: string; assets: { binding: string; run_worker_first: boolean; html_handling: 'none' } }
  return { compatibilityDate, assets }
}

/** Starts the Worker of examples/cloudflare on workerd, with the settings of its wrangler.jsonc. */
export async function startOnWorkerd({ env, page }: Deployment): Promise<Running> {
  const directory = await writePage(page)
  const { compatibilityDate, assets } = await readWrangler()
  const worker = new Miniflare({
    modules: [{ type: 'ESModule', path: 'worker.js', contents: await bundleEdge('examples/cloudflare/worker.ts') }],
    compatibilityDate,
    host: '127.0.0.1',
    port: 0,
    bindings: env,
    assets: {
      directory,
      binding: assets.binding,
      routerConfig: { invoke_user_worker_ahead_of_assets: assets.run_worker_first, has_user_worker: true },
      assetConfig: { html_handling: assets.html_handling },
    },
  })
  const url = (await worker.ready).href.replace(/\/$/, '')
  return {
    url,
    stop: async () => {
      await worker.dispose()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Returns the path of the executable in the package `deno`. */
const findDeno = (): string =>
  (createRequire(import.meta.url)('deno/install_api.cjs') as { runInstall: () => string }).runInstall()

/** Starts the server of examples/deno from the sources in a separate process, with only the permissions that it needs. */
export async function startOnDeno({ env, page }: Deployment): Promise<Running> {
  const folder = await writePage(page)
  const store = new URL(env['UPSTASH_REDIS_REST_URL'] ?? '').host
  const args = [
    '--no-lock',
    '--conditions=source',
    '--unstable-cron',
    '--allow-env',
    `--allow-net=127.0.0.1:0,${store}`,
    `--allow-read=.,${folder}`,
  ]
  const child = spawn(findDeno(), ['run', ...args, 'examples/deno/main.ts'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: {
      ...env,
      CONSOLE_FOLDER: folder,
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      NO_COLOR: '1',
      DENO_SERVE_ADDRESS: 'tcp:127.0.0.1:0',
    },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  const exited = once(child, 'exit')
  const listening = Promise.withResolvers<string>()
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    const [, url] = /Listening on (http:\/\/\S+?)\/?\s/.exec(output) ?? []
    if (url !== undefined) listening.resolve(url)
  })
  void exited.then(() => listening.reject(new Error(`deno ended: ${output}`)))
  return {
    url: await listening.promise,
    stop: async () => {
      child.kill()
      await exited
      await rm(folder, { recursive: true, force: true })
    },
  }
}
