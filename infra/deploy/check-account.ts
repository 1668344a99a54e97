import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { CloudWatchLogsClient, paginateDescribeLogGroups } from '@aws-sdk/client-cloudwatch-logs'
import { GetAccountSettingsCommand, GetFunctionConcurrencyCommand, LambdaClient } from '@aws-sdk/client-lambda'
import { GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs'
import { COMMAND_QUEUE, deadLetterQueueName, firstError, isMissingQueue, queueName } from '../../src/protocol/index.ts'
import { API, EVENTS, functionName, stackName } from '../stack/stack-routes.ts'
import type { StackOptions } from '../stack/options.ts'

/** The result of one check, and its fix. */
export type Finding = { readonly ok: boolean; readonly text: string; readonly fix?: string }

export const ok = (text: string): Finding => ({ ok: true, text })
export const fail = (text: string, fix?: string): Finding => ({ ok: false, text, ...(fix !== undefined && { fix }) })

/** Returns the first line of an error's message, or of the first error in an AggregateError. Further lines are hints of the SDK for developers. */
export function words(thrown: unknown): string {
  const error = firstError(thrown)
  return (
    (error instanceof Error ? error.message || error.name : String(error)).split('\n')[0] ||
    'an error without a message'
  )
}

/** Returns the fix for an error of AWS. */
function fixOf(error: unknown, region: string): string {
  const code = error instanceof Error ? `${error.name} ${error.message}` : ''
  if (/ENOTFOUND|getaddrinfo/.test(code)) return `check that ${region} is a region; aws ec2 describe-regions lists them`
  if (/AccessDenied|NotAuthorized/.test(code)) return 'allow your user to read it, or use another AWS_PROFILE'
  if (/Token|Signature|AccessKey|Credential|Expired/.test(code))
    return 'log in again; aws sts get-caller-identity shows whether AWS accepts the credentials'
  return `check the network, and that ${region} is enabled for your account`
}

/** Returns the finding that a part of AWS cannot be read. */
export const unreadable = (what: string, region: string, error: unknown): Finding =>
  fail(`${what} in ${region} cannot be read: ${words(error)}`, fixOf(error, region))

type Stack = Pick<StackOptions, 'prefix' | 'routes' | 'events'>

/** Checks that CloudFormation can create or update the stack. */
export async function* checkStack(region: string, stack: Stack): AsyncGenerator<Finding> {
  const name = stackName(stack.prefix)
  try {
    const { Stacks = [] } = await new CloudFormationClient({ region }).send(
      new DescribeStacksCommand({ StackName: name }),
    )
    return yield judgeStack(name, Stacks[0]?.StackStatus ?? '', region)
  } catch (error) {
    if (!/does not exist/.test(words(error))) return yield unreadable('CloudFormation', region, error)
  }
  const findings = [await findQueues(region, stack), await findLogs(region, stack)].filter((one) => one !== undefined)
  yield* findings
  if (findings.length === 0) yield ok(`the stack ${name} is new`)
}

const toConflict = (left: readonly string[], what: string, ifNotNeeded: string): Finding | undefined =>
  left.length === 0
    ? undefined
    : fail(
        `${left.length} ${what} of a removed stack, or created by hand, still exist, such as ${left[0]}: a new stack cannot create queues or log groups with the same names`,
        `use another --param="prefix=…", or, if you do not need ${ifNotNeeded}`,
      )

/** Finds existing queues, which CloudFormation would not adopt. */
async function findQueues(region: string, { prefix, routes }: Stack): Promise<Finding | undefined> {
  const sqs = new SQSClient({ region })
  const isThere = async (QueueName: string): Promise<boolean> => {
    try {
      await sqs.send(new GetQueueUrlCommand({ QueueName }))
      return true
    } catch (error) {
      if (isMissingQueue(error)) return false
      throw error
    }
  }
  try {
    const ofRoutes = routes.flatMap((route) => [queueName(prefix, route), deadLetterQueueName(prefix, route)])
    const names = [...ofRoutes, queueName(prefix, COMMAND_QUEUE)]
    const found = await Promise.all(names.map(isThere))
    return toConflict(
      names.filter((_, index) => found[index]),
      'queues',
      `their messages, run delete-queue for each and wait a minute: aws sqs list-queues --region ${region} --queue-name-prefix ${prefix}`,
    )
  } catch (error) {
    return unreadable('SQS', region, error)
  }
}

/** Finds existing log groups, which CloudFormation would not adopt. */
async function findLogs(region: string, { prefix, routes, events }: Stack): Promise<Finding | undefined> {
  const ofUrls = [prefix + API, ...(events === undefined ? [] : [prefix + EVENTS])]
  const names = new Set(
    [...routes.map((route) => functionName(prefix, route)), ...ofUrls].map((name) => `/aws/lambda/${name}`),
  )
  const left: string[] = []
  try {
    for await (const { logGroups = [] } of paginateDescribeLogGroups(
      { client: new CloudWatchLogsClient({ region }) },
      { logGroupNamePrefix: `/aws/lambda/${prefix}` },
    )) {
      left.push(...logGroups.flatMap(({ logGroupName: name = '' }) => (names.has(name) ? [name] : [])))
    }
  } catch (error) {
    return unreadable('CloudWatch Logs', region, error)
  }
  return toConflict(
    left,
    'log groups',
    `them, run delete-log-group for each: aws logs describe-log-groups --region ${region} --log-group-name-prefix /aws/lambda/${prefix}`,
  )
}

/** Source: "Stack status codes" in the CloudFormation user guide. */
function judgeStack(name: string, status: string, region: string): Finding {
  const aws = (command: string) => `aws cloudformation ${command} --region ${region} --stack-name ${name}`
  // REVIEW_IN_PROGRESS: the stack has only a change set.
  const failed = (what: string, command: string) =>
    fail(`the stack ${name} cannot be updated, because ${what} failed (${status})`, aws(command))
  if (/^(CREATE_FAILED|ROLLBACK_COMPLETE|ROLLBACK_FAILED|DELETE_FAILED|REVIEW_IN_PROGRESS)$/.test(status))
    return failed('its creation or deletion', 'delete-stack')
  if (status === 'UPDATE_ROLLBACK_FAILED') return failed('the rollback of its last update', 'continue-update-rollback')
  if (status.endsWith('_IN_PROGRESS'))
    return fail(`another update of the stack ${name} is in progress (${status})`, aws('wait stack-update-complete'))
  return ok(`the stack ${name} exists (${status}); this deployment updates it`)
}

/** The concurrency of an account that must stay unreserved. Source: PutFunctionConcurrency in the Lambda API reference. */
const MIN_UNRESERVED = 100

/** The reserved concurrency that is proposed for the API: about 400 requests a second of 50 ms each. */
const PROPOSED = 20

/**
 * Checks that the account has the concurrency that `apiConcurrency` and `events` reserve. Without either, reports whether some could be reserved. A new
 * account has a concurrency of ten, and can reserve nothing.
 */
export async function checkConcurrency(
  region: string,
  { prefix, apiConcurrency, events }: Pick<StackOptions, 'prefix' | 'apiConcurrency' | 'events'>,
): Promise<Finding> {
  const lambda = new LambdaClient({ region })
  try {
    const { AccountLimit: limit } = await lambda.send(new GetAccountSettingsCommand({}))
    const total = limit?.ConcurrentExecutions ?? 0
    // The concurrency that these functions reserve now is released when they are updated.
    const reserved = await Promise.all([API, EVENTS].map((name) => reservedNow(lambda, prefix + name)))
    const free = reserved.reduce((sum, one) => sum + one, limit?.UnreservedConcurrentExecutions ?? 0) - MIN_UNRESERVED
    const ask = `request a quota of 1,000 (Service Quotas, Lambda, Concurrent executions): aws service-quotas request-service-quota-increase --region ${region} --service-code lambda --quota-code L-B99A9384 --desired-value 1000`
    const wanted = [
      ...(apiConcurrency === undefined ? [] : [{ name: 'apiConcurrency', bound: apiConcurrency, whose: 'the API' }]),
      ...(events === undefined ? [] : [{ name: 'events', bound: events, whose: 'streams of changes' }]),
    ]
    if (wanted.length === 0 && free >= PROPOSED)
      return ok(
        `the account has a Lambda concurrency of ${total}; --param="apiConcurrency=${PROPOSED}" stops a flood of API requests from delaying screen pops`,
      )
    if (wanted.length === 0)
      return {
        ...ok(`the account has a Lambda concurrency of ${total}, too little to reserve some for the API`),
        fix: ask,
      }
    const sum = wanted.reduce((all, { bound }) => all + bound, 0)
    if (sum <= free) {
      const shares = wanted.map(
        ({ bound, whose }) => `${bound} ${wanted.length === 1 ? 'is' : 'are'} reserved for ${whose}`,
      )
      return ok(`the account has a Lambda concurrency of ${total}, of which ${shares.join(' and ')}`)
    }
    const [only, other] = wanted.map(({ name }) => name)
    const isMore = other === undefined ? 'is' : 'are together'
    const lower = free > 0 ? 'lower' : 'remove'
    const most =
      other === undefined && free > 0
        ? `--param="${only}=${free}" or less, or `
        : `${lower} ${[only, other].filter(Boolean).join(' or ')}, or `
    return fail(
      `${wanted.map(({ name, bound }) => `${name} ${bound}`).join(' and ')} ${isMore} too large: the account has a Lambda concurrency of ${total}, of which ${MIN_UNRESERVED} must stay unreserved, so ${Math.max(0, free)} can be reserved`,
      most + ask,
    )
  } catch (error) {
    const fault = unreadable('the Lambda concurrency of the account', region, error)
    // The deployment only depends on this figure if it reserves concurrency.
    return apiConcurrency === undefined && events === undefined ? ok(fault.text) : fault
  }
}

async function reservedNow(lambda: LambdaClient, FunctionName: string): Promise<number> {
  try {
    const { ReservedConcurrentExecutions = 0 } = await lambda.send(new GetFunctionConcurrencyCommand({ FunctionName }))
    return ReservedConcurrentExecutions
  } catch (error) {
    if (error instanceof Error && error.name === 'ResourceNotFoundException') return 0
    throw error
  }
}
