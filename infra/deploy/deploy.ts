import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { GetParametersCommand, type Parameter, SSMClient } from '@aws-sdk/client-ssm'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseTokens } from '../../src/api/index.ts'
import { withLock } from '../../src/cli/launch/processes.js'
import { createStore } from '../../src/store/index.ts'
import { bundleConsole, formatConsoleReport } from '../build/bundle-console.ts'
import { bundleFunctions } from '../build/bundle-functions.ts'
import { formatReport, root } from '../build/bundle.ts'
import { checkTemplate } from '../check/check-template.ts'
import type { Template } from '../check/cloudformation.ts'
import { reportError } from '../deploy-error.ts'
import { type PackageArguments, readArguments, type StackOptions } from '../stack/options.ts'
import {
  allSecrets,
  parameterName,
  type ParameterVariable,
  readStackRoutes,
  stackName,
  TOKEN_PARAMETERS,
} from '../stack/stack-routes.ts'
import { checkConcurrency, checkStack, fail, type Finding, ok, unreadable, words } from './check-account.ts'

type Values = Readonly<Record<ParameterVariable, string>> & Readonly<Record<string, string>>

/** Examples of the values of parameters, for the commands that create them. */
const SOURCES: Values = {
  UPSTASH_REDIS_REST_URL: 'https://….upstash.io',
  UPSTASH_REDIS_REST_TOKEN: '…',
  API_TOKEN: '"$(openssl rand -hex 32)"',
  API_TOKENS: '"crm:read:$(openssl rand -hex 32)"',
}

/** The maximum number of names in a GetParameters request. Source: the Systems Manager API reference. */
const MAX_NAMES = 10

/** Checks the prerequisites of a deployment without changing anything. Yields each finding as soon as it is known. */
async function* checkDeployment({ region, stack }: PackageArguments): AsyncGenerator<Finding> {
  if (region === '')
    return yield fail('no region is set', 'npm run deploy -- --stage … --region eu-west-1, or set AWS_REGION')
  if (!/^[a-z]{2}(-[a-z]+)+-\d+$/.test(region))
    return yield fail(
      `"${region}" is not an AWS region`,
      'write a region such as eu-west-1; aws ec2 describe-regions lists them',
    )
  const ssm = new SSMClient({ region })
  try {
    await ssm.config.credentials()
  } catch (error) {
    return yield fail(
      `no AWS credentials were found: ${words(error)}`,
      'set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; aws sts get-caller-identity shows the current identity',
    )
  }
  yield ok(`region ${region}, names ${stack.prefix}*`)
  const parameters = await readParameters(ssm, region, stack)
  yield* parameters.findings
  if (parameters.values !== undefined) yield* checkValues(parameters.values)
  yield await checkConcurrency(region, stack)
  yield* checkStack(region, stack)
}

async function readParameters(
  ssm: SSMClient,
  region: string,
  { prefix, routes }: StackOptions,
): Promise<{ readonly findings: readonly Finding[]; readonly values?: Values }> {
  const variables = allSecrets(routes)
  const names = variables.map((variable) => parameterName(prefix, variable))
  const found: Parameter[] = []
  try {
    for (let from = 0; from < names.length; from += MAX_NAMES) {
      const command = new GetParametersCommand({ Names: names.slice(from, from + MAX_NAMES), WithDecryption: true })
      found.push(...((await ssm.send(command)).Parameters ?? []))
    }
  } catch (error) {
    return { findings: [unreadable('Parameter Store', region, error)] }
  }
  // The value comes through a pipe, so that the list of processes does not show it. As an argument, version 1 of the AWS CLI would fetch a value that begins with https.
  const put = (variable: string) =>
    `printf %s ${SOURCES[variable] ?? '…'} | aws ssm put-parameter --region ${region} --type SecureString --name ${parameterName(prefix, variable)} --value file:///dev/stdin`
  const parameterOf = (variable: string) => found.find(({ Name }) => Name === parameterName(prefix, variable))
  const valueOf = (variable: string) => parameterOf(variable)?.Value?.trim() ?? ''
  // If one of the two tokens exists, the other is optional.
  const hasToken = TOKEN_PARAMETERS.some((variable) => valueOf(variable) !== '')
  const isNeeded = (variable: string) => (hasToken ? parameterOf(variable) !== undefined : variable === 'API_TOKEN')
  const needed = variables.filter((variable) => !TOKEN_PARAMETERS.includes(variable) || isNeeded(variable))
  const findings = needed.map((variable): Finding => {
    const parameter = parameterOf(variable)
    const name = parameterName(prefix, variable)
    if (valueOf(variable) === '') return fail(`the parameter ${name} does not exist in ${region}`, put(variable))
    if (parameter?.Type !== 'SecureString')
      return fail(
        `the parameter ${name} is not encrypted (${parameter?.Type})`,
        `aws ssm delete-parameter --region ${region} --name ${name} && ${put(variable)}`,
      )
    return ok(`parameter ${name}`)
  })
  if (!findings.every((finding) => finding.ok)) return { findings }
  return { findings, values: Object.fromEntries(variables.map((one) => [one, valueOf(one)])) as Values }
}

async function* checkValues({
  UPSTASH_REDIS_REST_URL: url,
  UPSTASH_REDIS_REST_TOKEN: token,
  API_TOKEN: apiToken,
  API_TOKENS: apiTokens,
}: Values): AsyncGenerator<Finding> {
  try {
    await createStore({ url, token }).read.ping()
    yield ok('Upstash answers and accepts the token')
  } catch (error) {
    yield fail(
      `Upstash: ${words(error)}`,
      'compare the two parameters with the REST API section of the database in the Upstash console; put-parameter --overwrite changes one',
    )
  }
  try {
    const tokens = parseTokens({ token: apiToken, tokens: apiTokens })
    const callers = Map.groupBy(tokens, ({ name, role }) => `${name} (${role})`)
    yield ok(`API tokens: ${[...callers].map(([of, { length }]) => (length > 1 ? `${of} x${length}` : of)).join(', ')}`)
  } catch (error) {
    // Each fault is on a line of its own.
    for (const fault of (error instanceof Error ? error.message : '').split('\n')) yield fail(fault)
  }
}

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
  for await (const { ok: isOk, text, fix } of checkDeployment(read)) {
    isWell &&= isOk
    process.stdout.write(`${isOk ? 'ok  ' : 'FAIL'}  ${text}\n${fix === undefined ? '' : `      ${fix}\n`}`)
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
