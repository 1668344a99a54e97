import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { CloudWatchLogsClient, paginateDescribeLogGroups } from '@aws-sdk/client-cloudwatch-logs'
import { GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs'
import { deadLetterQueueName, queueName } from '../../src/protocol/index.ts'
import { API, functionName, stackName } from '../stack/names.ts'
import type { StackOptions } from '../stack/options.ts'
import { fail, fixOf, ok, words, type Finding } from './finding.ts'

type Stack = Pick<StackOptions, 'prefix' | 'routes'>

/** Whether CloudFormation can make the stack, or change it. */
export async function* checkStack(region: string, stack: Stack): AsyncGenerator<Finding> {
  const name = stackName(stack.prefix)
  try {
    const { Stacks = [] } = await new CloudFormationClient({ region }).send(
      new DescribeStacksCommand({ StackName: name }),
    )
    return yield judgeStack(name, Stacks[0]?.StackStatus ?? '', region)
  } catch (error) {
    if (!/does not exist/.test(words(error)))
      return yield fail(`CloudFormation in ${region} cannot be read: ${words(error)}`, fixOf(error, region))
  }
  const findings = [await lookForQueues(region, stack), await lookForLogs(region, stack)].filter(
    (one) => one !== undefined,
  )
  yield* findings
  if (findings.length === 0) yield ok(`the stack ${name} is new`)
}

const LEFT = 'of a removed stack, or created by hand, still exist'

/** Queues that CloudFormation would not take for its own. */
async function lookForQueues(region: string, { prefix, routes }: Stack): Promise<Finding | undefined> {
  const sqs = new SQSClient({ region })
  const isThere = async (QueueName: string): Promise<boolean> => {
    try {
      await sqs.send(new GetQueueUrlCommand({ QueueName }))
      return true
    } catch (error) {
      if (error instanceof Error && /QueueDoesNotExist|NonExistentQueue/.test(error.name)) return false
      throw error
    }
  }
  try {
    const names = routes.flatMap((route) => [queueName(prefix, route), deadLetterQueueName(prefix, route)])
    const found = await Promise.all(names.map(isThere))
    const left = names.filter((_, index) => found[index])
    if (left.length === 0) return undefined
    return fail(
      `${left.length} queues ${LEFT}, such as ${left[0]}: a new stack cannot create queues or log groups with the same names`,
      `use another --param="prefix=…", or, if you do not need their messages, run delete-queue for each and wait a minute: aws sqs list-queues --region ${region} --queue-name-prefix ${prefix}`,
    )
  } catch (error) {
    return fail(`SQS in ${region} cannot be read: ${words(error)}`, fixOf(error, region))
  }
}

/** Logs that CloudFormation would not take for its own. */
async function lookForLogs(region: string, { prefix, routes }: Stack): Promise<Finding | undefined> {
  const names = new Set(
    [...routes.map((route) => functionName(prefix, route)), prefix + API].map((name) => `/aws/lambda/${name}`),
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
    return fail(`CloudWatch Logs in ${region} cannot be read: ${words(error)}`, fixOf(error, region))
  }
  if (left.length === 0) return undefined
  return fail(
    `${left.length} log groups ${LEFT}, such as ${left[0]}: a new stack cannot create queues or log groups with the same names`,
    `use another --param="prefix=…", or, if you do not need them, run delete-log-group for each: aws logs describe-log-groups --region ${region} --log-group-name-prefix /aws/lambda/${prefix}`,
  )
}

/** Source: "Stack status codes" in the CloudFormation user guide. */
function judgeStack(name: string, status: string, region: string): Finding {
  const aws = (command: string) => `aws cloudformation ${command} --region ${region} --stack-name ${name}`
  // The last one is a stack of which there is only a plan.
  if (/^(CREATE_FAILED|ROLLBACK_COMPLETE|ROLLBACK_FAILED|DELETE_FAILED|REVIEW_IN_PROGRESS)$/.test(status)) {
    return fail(
      `the stack ${name} cannot be updated, because its creation or deletion failed (${status})`,
      aws('delete-stack'),
    )
  }
  if (status === 'UPDATE_ROLLBACK_FAILED')
    return fail(
      `the stack ${name} cannot be updated, because the rollback of its last update failed (${status})`,
      aws('continue-update-rollback'),
    )
  if (status.endsWith('_IN_PROGRESS'))
    return fail(`another update of the stack ${name} is in progress (${status})`, aws('wait stack-update-complete'))
  return ok(`the stack ${name} exists (${status}); this deployment updates it`)
}
