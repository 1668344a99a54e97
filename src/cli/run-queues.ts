import { ListQueuesCommand } from '@aws-sdk/client-sqs'
import { readOwnRoutes } from '../lambda/declarations.ts'
import { COMMAND_QUEUE, type Routes } from '../protocol/index.ts'
import { readConfig, type RelayConfig } from '../relay/index.ts'
import { commandQueueName, createQueues, listQueues } from '../relay/targets/sqs/sqs-target.ts'
import { createSqs } from '../relay/targets/sqs/sqs-client.ts'
import { firstOf, type Env } from '../runtime/index.ts'
import { CliError, formatRows, widen } from './cli-output.ts'

/** Runs `enigma-relay queues [--create]`. @throws ConfigError, CliError */
export async function runQueues({ create }: { readonly create: boolean }): Promise<void> {
  const config = readQueueConfig(process.env, create)
  const routes = config.routes ?? (await readOwnRoutes())
  const existing = create ? await createMissing(config, routes) : undefined
  const state = (name: string) => (existing === undefined ? '' : existing.has(name) ? 'existing' : 'created')
  const rows = listQueues(config.queuePrefix, routes).flatMap(({ route, queue, deadLetterQueue }) => [
    [route.name, queue, state(queue)],
    ['  dead letters', deadLetterQueue, state(deadLetterQueue)],
  ])
  const ofCommands = commandQueueName(config.queuePrefix)
  rows.push([COMMAND_QUEUE.name, ofCommands, state(ofCommands)])
  process.stdout.write(formatRows(rows, widen([0, 0], rows)))
  if (existing === undefined) return
  const created = rows.filter(([, , word]) => word === 'created').length
  process.stdout.write(`created ${created}, existing ${rows.length - created}, at ${where(config)}\n`)
}

/** Reads only the variables that affect queues, so that a fault in another variable does not stop the command. Printing names needs no region. */
function readQueueConfig(env: Env, create: boolean): RelayConfig {
  const { ENIGMA_QUEUE_PREFIX, ENIGMA_ROUTES } = env
  if (!create) return readConfig({ ENIGMA_QUEUE_PREFIX, ENIGMA_ROUTES, AWS_REGION: 'any' })
  const concerns = /^(ENIGMA_QUEUE_PREFIX|ENIGMA_ROUTES|AWS_(DEFAULT_)?REGION|AWS_ENDPOINT_URL_SQS|(HTTPS?|NO)_PROXY)$/i
  return readConfig(Object.fromEntries(Object.entries(env).filter(([name]) => concerns.test(name))))
}

const where = ({ endpoint, region }: RelayConfig) => (endpoint === undefined ? `AWS, region ${region}` : endpoint)

/** Creates the missing queues. Resolves with the names of the queues that already existed. */
async function createMissing(config: RelayConfig, routes: Routes): Promise<Set<string>> {
  const sqs = createSqs(config, { requestTimeoutMs: 10_000, maxAttempts: 2 })
  try {
    const { QueueUrls = [] } = await sqs.send(
      new ListQueuesCommand({ QueueNamePrefix: config.queuePrefix, MaxResults: 1_000 }),
    )
    await createQueues(sqs, config.queuePrefix, routes)
    return new Set(QueueUrls.map((url) => url.slice(url.lastIndexOf('/') + 1)))
  } catch (error) {
    throw new CliError('cli.queues.not_created', `the queues were not created at ${where(config)}: ${advice(error)}`, {
      cause: error,
    })
  } finally {
    sqs.destroy()
  }
}

/** Returns the cause of an SQS error, and how to fix it. */
function advice(cause: unknown): string {
  const error = firstOf(cause)
  if (!(error instanceof Error)) return String(error)
  const { name, message } = error
  if (/Credentials|Token|Signature|AccessKey/i.test(name) || /credentials/i.test(message))
    return 'AWS does not accept the credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role'
  if (/AccessDenied|NotAuthorized/i.test(name))
    return 'AWS denies access; allow sqs:CreateQueue, sqs:GetQueueAttributes and sqs:ListQueues'
  if (/QueueNameExists|QueueAlreadyExists/.test(name))
    return `${message} (delete that queue, or choose another ENIGMA_QUEUE_PREFIX)`
  if (name === 'SyntaxError')
    return 'the server that answered is not SQS, or does not speak the JSON protocol of SQS; check AWS_ENDPOINT_URL_SQS and any proxy on the way'
  const code = 'code' in error ? String(error.code) : ''
  if (/ECONN|ENOTFOUND|EAI_AGAIN|EHOST|ENETUNREACH|Timeout/.test(`${name} ${message} ${code}`))
    return `SQS cannot be reached (${message}); check AWS_ENDPOINT_URL_SQS, AWS_REGION and the network`
  return `${name}: ${message}`
}
