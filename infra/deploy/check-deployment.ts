import { GetParametersCommand, SSMClient, type Parameter } from '@aws-sdk/client-ssm'
import { parseTokens } from '../../src/api/index.ts'
import { createStore } from '../../src/store/index.ts'
import { allSecrets, parameterName, TOKEN_PARAMETERS, type ParameterVariable } from '../stack/stack-routes.ts'
import type { PackageArguments, StackOptions } from '../stack/options.ts'
import { checkConcurrency, checkStack, fail, ok, unreadable, words, type Finding } from './check-account.ts'

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
export async function* checkDeployment({ region, stack }: PackageArguments): AsyncGenerator<Finding> {
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
