import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, globSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleFunctions } from './bundle-functions.ts'
import { bundleRelay } from './bundle-relay.ts'
import { formatReport } from './report.ts'

/** `npm run build`: the package's rooms as JavaScript with types, a bundle for each function, the relay in one file. All in dist/. */
async function build(): Promise<void> {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  // What a former version left there would be published. The bundles see to their own.
  const dist = new URL('../../dist/', import.meta.url)
  for (const name of existsSync(dist) ? readdirSync(dist) : [])
    if (name !== 'functions') rmSync(new URL(name, dist), { recursive: true, force: true })
  execFileSync('tsc', ['-p', 'src/tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  // tsc leaves behind what is no TypeScript.
  for (const file of globSync('relay/**/*.lua', { cwd: join(root, 'src') }))
    cpSync(join(root, 'src', file), join(root, 'dist', file))
  const [functions, relay] = await Promise.all([bundleFunctions(), bundleRelay()])
  process.stdout.write(`${formatReport(functions)}\n${formatReport(relay)}\n`)
}

await build()
