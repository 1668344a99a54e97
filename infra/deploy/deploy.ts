import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { bundleConsole, formatConsoleReport } from '../build/bundle-console.ts'
import { bundleFunctions } from '../build/bundle-functions.ts'
import { formatReport, root } from '../build/bundle.ts'
import { checkTemplate } from '../check/check-template.ts'
import type { Template } from '../check/cloudformation.ts'
import { reportError } from '../deploy-error.ts'
import { readStackRoutes, stackName } from '../stack/stack-routes.ts'
import { readArguments, type PackageArguments } from '../stack/options.ts'
import { withLock } from '../../src/cli/launch/processes.js'
import { checkDeployment } from './check-deployment.ts'

/** The template that the framework packages and deploys. */
const TEMPLATE = 'cloudformation-template-update-stack.json'

/** Runs the framework in the repository. Resolves with its exit code. */
async function runFramework(args: readonly string[]): Promise<number> {
  const { env } = process
  const child = spawn('osls', args, {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...env,
      // The framework loads functions/, which imports this package by name. The condition resolves that to sources.
      NODE_OPTIONS: `${env['NODE_OPTIONS'] ?? ''} --conditions=source`.trim(),
      SLS_NOTIFICATIONS_MODE: 'off',
      SLS_TELEMETRY_DISABLED: '1',
      PATH: `${join(root, 'node_modules/.bin')}:${env['PATH'] ?? ''}`,
    },
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

/** `npm run package`: bundles, packages and checks, offline and without credentials. Arguments go to the framework: --stage, --param=… */
async function packageStack(args: readonly string[]): Promise<number> {
  try {
    const routes = await readStackRoutes()
    const { folder, stack } = readArguments(args, process.env, routes)
    const page = await bundleConsole()
    process.stdout.write(`${formatReport(await bundleFunctions(routes, page))}\n${formatConsoleReport(page)}\n`)
    // The framework packages in a fixed folder of the clone, and then moves the result.
    const code = await withLock(root, () => runFramework(['package', ...args]), 'package', 'is packaging')
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

/**
 * `npm run deploy -- --stage prod --region eu-west-1`: checks the prerequisites, then builds, packages,
 * checks and deploys. `--check` stops before the first change. Exit codes, here and of `npm run package`: 0, 1 failed, 2 wrong arguments.
 */
async function deploy(args: readonly string[]): Promise<number> {
  const isCheck = args.includes('--check')
  const given = args.filter((one) => one !== '--check')
  let read: PackageArguments
  try {
    read = readArguments(given, process.env, await readStackRoutes())
  } catch (error) {
    return reportError(error)
  }
  let isWell = true
  for await (const { ok, text, fix } of checkDeployment(read)) {
    isWell &&= ok
    process.stdout.write(`${ok ? 'ok  ' : 'FAIL'}  ${text}\n${fix === undefined ? '' : `      ${fix}\n`}`)
  }
  if (!isWell) {
    process.stderr.write(
      'enigma-relay: nothing was deployed: fix every line marked FAIL and run this again (deploy.check.failed)\n',
    )
    return 1
  }
  if (isCheck) return 0
  const packaged = await packageStack([...given, '--region', read.region])
  if (packaged !== 0) return packaged
  const code = await runFramework(['deploy', ...given, '--region', read.region, '--package', read.folder])
  if (code === 0) await showOutputs(read)
  return code
}

/** Prints the outputs of the stack that the relay and its operator need. */
async function showOutputs({ region, stack }: PackageArguments): Promise<void> {
  const { Stacks: [found] = [] } = await new CloudFormationClient({ region }).send(
    new DescribeStacksCommand({ StackName: stackName(stack.prefix) }),
  )
  const outputs = new Map(found?.Outputs?.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]))
  process.stdout.write(`
# for relay.env on the host of the relay
ENIGMA_QUEUE_PREFIX=${outputs.get('QueuePrefix') ?? stack.prefix}
AWS_REGION=${region}

policy for its credentials: ${outputs.get('RelayPolicyArn')}
read API: ${outputs.get('ApiLambdaFunctionUrl')}
console: ${outputs.get('ApiLambdaFunctionUrl')}console/
alarms: ${outputs.get('AlarmTopicArn')}
`)
}

const [command, ...args] = process.argv.slice(2)
process.exitCode = command === 'package' ? await packageStack(args) : await deploy(process.argv.slice(2))
