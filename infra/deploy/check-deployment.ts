import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs'
import { GetParametersCommand, SSMClient, type Parameter } from '@aws-sdk/client-ssm'
import { checkToken } from '../../functions/api/auth.ts'
import { queueName, ROUTES } from '../../src/protocol/index.ts'
import { createStore } from '../../src/store/index.ts'
import type { PackageArguments } from '../package/arguments.ts'
import { parameterName, PARAMETER_VARIABLES, stackName, type ParameterVariable } from '../stack/names.ts'

/** What was looked at, and what mends it. */
export type Finding = { readonly ok: boolean; readonly text: string; readonly fix?: string }

/** Where values of parameters come from, for whoever has none yet. */
const SOURCES: Readonly<Record<ParameterVariable, string>> = {
  UPSTASH_REDIS_REST_URL: 'https://….upstash.io',
  UPSTASH_REDIS_REST_TOKEN: '…',
  API_TOKEN: '"$(openssl rand -hex 32)"',
}

const ok = (text: string): Finding => ({ ok: true, text })
const fail = (text: string, fix?: string): Finding => ({ ok: false, text, ...(fix === undefined ? {} : { fix }) })

/** Looks at everything that a deployment needs, and changes nothing: findings as they are made. */
export async function* checkDeployment({ region, stack }: PackageArguments): AsyncGenerator<Finding> {
  if (region === '') return yield fail('no region is named', 'npm run deploy -- --stage … --region eu-west-1, or set AWS_REGION')
  if (!/^[a-z]{2}(-[a-z]+)+-\d+$/.test(region)) return yield fail(`"${region}" is no region`, 'write one such as eu-west-1; aws ec2 describe-regions lists them')
  const sqs = new SQSClient({ region })
  try {
    await sqs.config.credentials()
  } catch (error) {
    return yield fail(`AWS gives no credentials: ${words(error)}`, 'set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; aws sts get-caller-identity shows who you are')
  }
  yield ok(`region ${region}, names ${stack.prefix}*`)
  const parameters = await readParameters(region, stack.prefix)
  yield* parameters.findings
  if (parameters.values !== undefined) yield* checkValues(parameters.values)
  yield await checkLeftovers(sqs, region, stack.prefix)
}

type Values = Readonly<Record<ParameterVariable, string>>

async function readParameters(region: string, prefix: string): Promise<{ readonly findings: readonly Finding[]; readonly values?: Values }> {
  const names = PARAMETER_VARIABLES.map((variable) => parameterName(prefix, variable))
  let found: readonly Parameter[]
  try {
    const ssm = new SSMClient({ region })
    found = (await ssm.send(new GetParametersCommand({ Names: names, WithDecryption: true }))).Parameters ?? []
  } catch (error) {
    return { findings: [fail(`Parameter Store of ${region} cannot be read: ${words(error)}`, fixOf(error, region))] }
  }
  const put = (variable: ParameterVariable, more = '') =>
    `aws ssm put-parameter --region ${region} --type SecureString --name ${parameterName(prefix, variable)} --value ${SOURCES[variable]}${more}`
  const parameterOf = (variable: ParameterVariable) => found.find(({ Name }) => Name === parameterName(prefix, variable))
  const findings = PARAMETER_VARIABLES.map((variable): Finding => {
    const parameter = parameterOf(variable)
    const name = parameterName(prefix, variable)
    if ((parameter?.Value ?? '').trim() === '') return fail(`the parameter ${name} is not there in ${region}`, put(variable))
    if (parameter?.Type !== 'SecureString') return fail(`the parameter ${name} is in plain text (${parameter?.Type})`, `aws ssm delete-parameter --region ${region} --name ${name} && ${put(variable)}`)
    return ok(`parameter ${name}`)
  })
  if (!findings.every((finding) => finding.ok)) return { findings }
  return { findings, values: Object.fromEntries(PARAMETER_VARIABLES.map((variable) => [variable, (parameterOf(variable)?.Value ?? '').trim()])) as Values }
}

async function* checkValues({ UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token, API_TOKEN: apiToken }: Values): AsyncGenerator<Finding> {
  try {
    await createStore({ url, token }).read.ping()
    yield ok('Upstash answers, and takes the token')
  } catch (error) {
    yield fail(`Upstash: ${words(error)}`, 'compare the two parameters with the REST API section of the database in the Upstash console; put-parameter --overwrite changes one')
  }
  try {
    checkToken(apiToken)
    yield ok('the token of the API can be sent as one')
  } catch (error) {
    yield fail(words(error))
  }
}

/** Queues of a stack that was removed, which CloudFormation would not take for its own. */
async function checkLeftovers(sqs: SQSClient, region: string, prefix: string): Promise<Finding> {
  try {
    const { Stacks = [] } = await new CloudFormationClient({ region }).send(new DescribeStacksCommand({ StackName: stackName(prefix) }))
    return judgeStack(stackName(prefix), Stacks[0]?.StackStatus ?? '', region)
  } catch (error) {
    if (!/does not exist/.test(words(error))) return fail(`CloudFormation of ${region} cannot be asked: ${words(error)}`, fixOf(error, region))
  }
  const left: string[] = []
  for (const route of ROUTES) {
    const name = queueName(prefix, route)
    const isThere = await sqs.send(new GetQueueUrlCommand({ QueueName: name })).then(() => true, () => false)
    if (isThere) left.push(name)
  }
  if (left.length === 0) return ok(`the stack ${stackName(prefix)} is new`)
  return fail(
    `${left.length} queues of a stack that was removed, or made by hand, are still there, such as ${left[0]}: a new stack cannot take their names`,
    `another --param="prefix=…"; or, when nothing in them is needed, delete them and their dead-letter queues: aws sqs list-queues --region ${region} --queue-name-prefix ${prefix}`,
  )
}

/** Source: "Stack status codes" in the CloudFormation user guide. */
function judgeStack(name: string, status: string, region: string): Finding {
  if (status === 'ROLLBACK_COMPLETE' || status === 'DELETE_FAILED') {
    return fail(`the stack ${name} could not be made, or removed, before (${status}): it cannot be updated`, `aws cloudformation delete-stack --region ${region} --stack-name ${name}`)
  }
  if (status.endsWith('_IN_PROGRESS')) return fail(`the stack ${name} is being changed by somebody (${status})`, `aws cloudformation wait stack-update-complete --region ${region} --stack-name ${name}`)
  return ok(`the stack ${name} is there (${status}) and is updated`)
}

/** The words of an error; the deepest cause says what happened. */
function words(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return words(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

function fixOf(error: unknown, region: string): string {
  const code = error instanceof Error ? `${error.name} ${error.message}` : ''
  if (/ENOTFOUND|getaddrinfo/.test(code)) return `is ${region} a region? aws ec2 describe-regions lists them`
  if (/AccessDenied|NotAuthorized/.test(code)) return 'let your user read it, or take another AWS_PROFILE'
  if (/Token|Signature|AccessKey|Credential|Expired/.test(code)) return 'aws sts get-caller-identity shows whether AWS knows you; log in again'
  return `check the network, and that your account uses ${region}`
}
