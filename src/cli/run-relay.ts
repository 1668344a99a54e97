import { setFlagsFromString } from 'node:v8'
import { styleText } from 'node:util'
import { runInNewContext } from 'node:vm'
import { firstError, type Routes } from '../protocol/index.ts'
import type { Finding } from '../relay/doctor/check.ts'
import type { RelayConfig } from '../relay/index.ts'
import { createLog, createShutdown, type Env } from '../runtime/index.ts'

/*
 * The commands that run or prepare a relay: relay, doctor, queues. Each loads its parts of the relay when it runs, so that no time is lost on
 * modules that `applyHeapFlags` discards when it replaces the process.
 */

/** Runs `enigma-relay relay` until SIGINT or SIGTERM. @throws ConfigError, RelayError */
export async function runRelay(): Promise<void> {
  applyHeapFlags()
  const { createRelay } = await import('../relay/index.ts')
  const { config, routes } = await readRelayConfig(process.env)
  const shutdown = createShutdown(process)
  try {
    const relay = createRelay({ config, routes, log: createLog(config.logLevel), onListening: collectStart })
    await relay.run(shutdown.signal)
  } finally {
    shutdown.dispose()
    // Everything is closed. A connection that hangs while it is opened must not keep the process alive.
    setTimeout(() => process.exit(), 1_000).unref()
  }
}

/**
 * V8 lets a heap with much short-lived text grow to several times the size of its live objects. A young generation of three times 8 MiB
 * is cheap to collect and stays small. The old generation is collected when it has grown by half: during an SQS outage of 100 s a relay used
 * 218 MB at 100 %, and 190 MB at 50 %. Draining 200,000 CDRs takes the same time within the noise of the measurement.
 */
export const HEAP_FLAGS = ['--max-semi-space-size=8', '--heap-growing-percent=50']

/**
 * glibc returns free memory at the top of the C heap to the system once it exceeds this size. Without a fixed value, glibc raises the
 * threshold with each large buffer that is freed, up to 64 MiB, which costs 20 MB in a drain. Source: mallopt(3), M_TRIM_THRESHOLD.
 */
export const MALLOC = { MALLOC_TRIM_THRESHOLD_: String(128 * 1024) }

/**
 * Replaces this process with the same program and the flags of its heaps, under the same process id: V8 and glibc read them only when a
 * process starts. Does nothing if the flags are already set, or on Windows, where a process cannot be replaced.
 */
function applyHeapFlags(): void {
  const given = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ')
  if (/--max[-_]semi[-_]space[-_]size/.test(given)) return
  try {
    const words = [process.execPath, ...HEAP_FLAGS, ...process.execArgv, ...process.argv.slice(1)]
    process.execve?.(process.execPath, words, { ...MALLOC, ...process.env })
  } catch {
    // The relay still runs, with more memory.
  }
}

/**
 * Collects the garbage of the start. An idle process allocates too little for V8 to collect by itself. An idle relay uses 95 MB instead of
 * 119 MB. The pause of about 50 ms happens before the relay takes or receives anything.
 */
function collectStart(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: Record<string, string>) => void
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

/**
 * Reads the relay's configuration, and the route table that ENIGMA_ROUTES names, else that of this version. It imports the relay here, after
 * `applyHeapFlags`, because a process that is about to be replaced does not need it. @throws ConfigError, FunctionsError
 */
export async function readRelayConfig(env: Env): Promise<{ readonly config: RelayConfig; readonly routes: Routes }> {
  const [{ readConfig }, { readOwnRoutes }] = await Promise.all([
    import('../relay/index.ts'),
    import('../lambda/declarations.ts'),
  ])
  const isNamed = (env['ENIGMA_ROUTES'] ?? '').trim() !== ''
  const own = isNamed ? undefined : await readOwnRoutes()
  const config = readConfig(env, own)
  // One of them is defined: readConfig throws if it cannot read the file.
  return { config, routes: (config.routes ?? own) as Routes }
}

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const

/** Checks that run once per route. Their passed checks are printed as one line. */
const FOR_EACH_ROUTE = [
  {
    prefix: 'sqs/queue/',
    check: 'sqs/queues',
    say: (count: number) => `${count} queues and their dead-letter queues have the right attributes`,
  },
  { prefix: 'sqs/send/', check: 'sqs/rights', say: (count: number) => `the relay may send to ${count} queues` },
] as const

/** Runs `enigma-relay doctor [--json]`. @throws ConfigError, or CliError if a check fails */
export async function runDoctor({ json }: { readonly json: boolean }): Promise<void> {
  const [{ examine }, { CliError }] = await Promise.all([
    import('../relay/doctor/doctor.ts'),
    import('./cli-output.ts'),
  ])
  const findings: Finding[] = []
  const passed = new Map<string, number>()
  for await (const finding of examine(await readRelayConfig(process.env))) {
    findings.push(finding)
    const each =
      finding.state === 'ok' ? FOR_EACH_ROUTE.find(({ prefix }) => finding.check.startsWith(prefix)) : undefined
    if (json) continue
    if (each === undefined) printFinding(finding)
    else passed.set(each.prefix, (passed.get(each.prefix) ?? 0) + 1)
  }
  for (const { prefix, check, say } of FOR_EACH_ROUTE) {
    const routes = passed.get(prefix)
    if (routes !== undefined && !json) printFinding({ check, state: 'ok', text: say(routes) })
  }
  const count = (state: Finding['state']) => findings.filter((one) => one.state === state).length
  const summary = { ok: count('ok'), warn: count('warn'), fail: count('fail') }
  if (json) process.stdout.write(`${JSON.stringify({ checks: findings, summary }, null, 2)}\n`)
  else process.stdout.write(`${summary.ok} ok, ${summary.warn} warn, ${summary.fail} fail\n`)
  if (summary.fail > 0)
    throw new CliError('cli.doctor.failed', `${summary.fail} ${summary.fail === 1 ? 'check failed' : 'checks failed'}`)
}

/**
 * Prints a finding, such as `fail  redis/main/memory  …  → redis-cli …  # doctor.memory.evicts`. The text after the arrow can be pasted into a
 * shell, which reads the code as a comment. Uses colours on a terminal, unless NO_COLOR is set.
 */
function printFinding({ check, state, code, text, fix }: Finding): void {
  const word = styleText(COLOURS[state], state.padEnd(4), { stream: process.stdout })
  const arrow = styleText('bold', '→', { stream: process.stdout })
  const parts = [word, check, text, fix && `${arrow} ${fix}`, code && `# ${code}`]
  process.stdout.write(`${parts.filter((part) => part !== undefined).join('  ')}\n`)
}

/** Runs `enigma-relay queues [--create]`. @throws ConfigError, CliError */
export async function runQueues({ create }: { readonly create: boolean }): Promise<void> {
  const [
    { COMMAND_QUEUE },
    { readConfig },
    { readOwnRoutes },
    { commandQueueName, listQueues },
    { formatRows, widen },
  ] = await Promise.all([
    import('../protocol/index.ts'),
    import('../relay/index.ts'),
    import('../lambda/declarations.ts'),
    import('../relay/targets/sqs/sqs-target.ts'),
    import('./cli-output.ts'),
  ])
  const config = readConfig(toQueueVariables(process.env, create))
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

/** Returns only the variables that affect queues, so that a fault in another variable does not stop the command. Printing names needs no region. */
function toQueueVariables(env: Env, create: boolean): Env {
  const { ENIGMA_QUEUE_PREFIX, ENIGMA_ROUTES } = env
  if (!create) return { ENIGMA_QUEUE_PREFIX, ENIGMA_ROUTES, AWS_REGION: 'any' }
  const concerns = /^(ENIGMA_QUEUE_PREFIX|ENIGMA_ROUTES|AWS_(DEFAULT_)?REGION|AWS_ENDPOINT_URL_SQS|(HTTPS?|NO)_PROXY)$/i
  return Object.fromEntries(Object.entries(env).filter(([name]) => concerns.test(name)))
}

const where = ({ endpoint, region }: RelayConfig) => (endpoint === undefined ? `AWS, region ${region}` : endpoint)

/** Creates the missing queues. Resolves with the names of the queues that already existed. */
async function createMissing(config: RelayConfig, routes: Routes): Promise<Set<string>> {
  const [{ ListQueuesCommand }, { createSqs }, { createQueues }, { CliError }] = await Promise.all([
    import('@aws-sdk/client-sqs'),
    import('../relay/targets/sqs/sqs-client.ts'),
    import('../relay/targets/sqs/sqs-target.ts'),
    import('./cli-output.ts'),
  ])
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
  const error = firstError(cause)
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
