import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DeployError, reportError } from '../deploy-error.ts'
import { readStackRoutes } from '../stack/stack-routes.ts'
import { bundleConsole, formatConsoleReport, writeConsole } from './bundle-console.ts'
import { bundleFunctions } from './bundle-functions.ts'
import { bundleRelay, formatLua, formatReport, formatTable, LUA_READERS, root } from './bundle.ts'

/** Runs `npm run build`. Writes to dist/: the package's rooms as JavaScript with types, a bundle for each function, the console, the relay in one file, and the route table. */
async function build(): Promise<void> {
  const routes = await readStackRoutes()
  // Old files in dist/ would be published as well, so they are removed. bundleFunctions removes its own old files.
  const dist = new URL('../../dist/', import.meta.url)
  try {
    for (const name of existsSync(dist) ? readdirSync(dist) : [])
      if (name !== 'functions') rmSync(new URL(name, dist), { recursive: true, force: true })
  } catch (cause) {
    const text = `dist/ cannot be replaced (${String(cause)}): remove it, or let this user write to it`
    throw new DeployError('deploy.output.not_writable', text, { cause })
  }
  execFileSync('tsc', ['-p', 'src/tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  for (const reader of LUA_READERS)
    writeFileSync(join(root, 'dist', `${reader}.js`), formatLua(join(root, 'src', `${reader}.ts`)))
  writeFileSync(new URL('routes.json', dist), formatTable(routes))
  const page = await bundleConsole()
  await writeConsole(page)
  const [functions, relay] = await Promise.all([bundleFunctions(routes, page), bundleRelay(routes)])
  process.stdout.write(`${formatReport(functions)}\n${formatReport(relay)}\n${formatConsoleReport(page)}\n`)
}

try {
  await build()
} catch (error) {
  process.exitCode = reportError(error)
}
