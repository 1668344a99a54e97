import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { readArguments, type PackageArguments } from '../package/arguments.ts'
import { packageStack, runFramework } from '../package/package-stack.ts'
import { reportError } from '../errors.ts'
import { readStackRoutes } from '../routes.ts'
import { stackName } from '../stack/names.ts'
import { checkDeployment } from './check-deployment.ts'

/**
 * `npm run deploy -- --stage prod --region eu-west-1`: looks whether all is there that a deployment needs, then builds, packages,
 * checks and deploys. `--check` stops before the first change. Exit codes: 0, 1 failed, 2 wrong arguments.
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
  const packaged = await packageStack([...given, '--region', read.region], process.env)
  if (packaged !== 0) return packaged
  const code = await runFramework(['deploy', ...given, '--region', read.region, '--package', read.folder], process.env)
  if (code === 0) await showOutputs(read)
  return code
}

/** What the relay and its operator need to know of the stack. */
async function showOutputs({ region, stack }: PackageArguments): Promise<void> {
  const { Stacks: [found] = [] } = await new CloudFormationClient({ region }).send(
    new DescribeStacksCommand({ StackName: stackName(stack.prefix) }),
  )
  const outputs = new Map(found?.Outputs?.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]))
  process.stdout.write(
    [
      '',
      '# for relay.env on the host of the relay',
      `ENIGMA_QUEUE_PREFIX=${outputs.get('QueuePrefix') ?? stack.prefix}`,
      `AWS_REGION=${region}`,
      '',
      `policy for its credentials: ${outputs.get('RelayPolicyArn')}`,
      `read API: ${outputs.get('ApiLambdaFunctionUrl')}`,
      `alarms: ${outputs.get('AlarmTopicArn')}`,
      '',
    ].join('\n'),
  )
}

process.exitCode = await deploy(process.argv.slice(2))
