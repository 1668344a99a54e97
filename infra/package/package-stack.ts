import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleFunctions } from '../build/bundle-functions.ts'
import { formatReport } from '../build/report.ts'
import { checkTemplate } from '../check/check-template.ts'
import type { Template } from '../check/template.ts'
import { reportError } from '../errors.ts'
import { readStackRoutes } from '../routes.ts'
import { readArguments } from './arguments.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** What the framework would deploy. */
const TEMPLATE = 'cloudformation-template-update-stack.json'

type Env = Readonly<Record<string, string | undefined>>

/** Runs the framework in the repository. Resolves with its exit code. */
export async function runFramework(args: readonly string[], env: Env): Promise<number> {
  const child = spawn('osls', args, {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...env,
      // The framework loads what functions/ declares, which imports the rooms by their package's name: out of their sources.
      NODE_OPTIONS: `${env['NODE_OPTIONS'] ?? ''} --conditions=source`.trim(),
      SLS_NOTIFICATIONS_MODE: 'off',
      SLS_TELEMETRY_DISABLED: '1',
      PATH: `${join(root, 'node_modules/.bin')}:${env['PATH'] ?? ''}`,
    },
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

/** Bundles, packages and checks. Needs no credentials and no network. Resolves with the exit code: 0, 1 failed, 2 wrong arguments. */
export async function packageStack(args: readonly string[], env: Env): Promise<number> {
  try {
    const routes = await readStackRoutes()
    const { folder, stack } = readArguments(args, env, routes)
    process.stdout.write(`${formatReport(await bundleFunctions(routes))}\n`)
    const code = await runFramework(['package', ...args], env)
    if (code !== 0) return code
    const template = JSON.parse(await readFile(join(resolve(root, folder), TEMPLATE), 'utf8')) as Template
    const faults = checkTemplate(template, stack)
    for (const fault of faults) process.stderr.write(`enigma-relay: the template: ${fault} (deploy.template.invalid)\n`)
    if (faults.length > 0) return 1
    process.stdout.write(
      `the template is valid: ${Object.keys(template.Resources).length} resources, ${stack.prefix}*\n`,
    )
    return 0
  } catch (error) {
    return reportError(error)
  }
}
