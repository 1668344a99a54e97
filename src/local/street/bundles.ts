import { unzipSync } from 'fflate'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { queueName, type DeclaredRoute, type Route } from '../../protocol/index.ts'
import type { Env } from '../../runtime/index.ts'
import { readJson, type EnvironmentOptions, type FunctionSpec } from '../lambda/environment.ts'
import { createFunctionUrl, createLambdaFunction, type LambdaFunction } from '../lambda/lambda-function.ts'
import type { LambdaHandler } from '../lambda/lambda-trigger.ts'
import { LOCAL_AWS, startParameterStore } from '../local-aws.ts'
import { StreetError } from '../servers.ts'
import type { DataDir } from './parts.ts'
import type { Ground, Loaded } from './street-functions.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** Packages the stack offline into a folder, as a deployment does. @param parameters more stack parameters, as `name=value`. @throws StreetError `dev.bundles.not_packaged` */
export async function packageStack(folder: string, prefix: string, parameters: readonly string[] = []): Promise<void> {
  const program = ['--conditions=source', join(ROOT, 'infra/deploy/deploy.ts'), 'package']
  const own = [`prefix=${prefix}`, ...parameters].map((parameter) => `--param=${parameter}`)
  const args = ['--package', folder, ...own, '--stage', 'local']
  const child = spawn(process.execPath, [...program, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  if (child.exitCode !== 0)
    throw new StreetError(
      'dev.bundles.not_packaged',
      `npm run package failed: ${(errors + out).trim().split('\n').slice(-5).join(' ')}`,
    )
}

/**
 * Loads the functions from the bundles that would be deployed. Each runs in processes of its own, as on Lambda, with the variables of the
 * template. A function starts when it is first invoked.
 *
 * @param given the folder of a packaged stack. Default: package it now
 * @throws StreetError
 */
export async function loadBundles(
  { env, settings, declared, routes, queues, access, folder, release }: Ground,
  given: string | undefined,
  dataDir: DataDir,
): Promise<Loaded> {
  const { queuePrefix } = settings.relay
  const packaged = given ?? join(folder, 'package')
  if (given === undefined) await packageStack(packaged, queuePrefix)
  const specs = await readTemplateFunctions(packaged)
  const parameters = await startParameterStore(parametersOf(specs, { ...ownSecrets(declared, env), ...access }))
  release(() => parameters.stop())
  const unpacked = join(folder, 'lambda')
  await rm(unpacked, { recursive: true, force: true })
  // Lambda's runtime contains the AWS SDK. Here the functions find it in a folder above their own.
  await mkdir(join(unpacked, 'node_modules'), { recursive: true })
  await symlink(join(ROOT, 'node_modules/@aws-sdk'), join(unpacked, 'node_modules/@aws-sdk'))

  const options: EnvironmentOptions = {
    aws: {
      ...LOCAL_AWS,
      AWS_DEFAULT_REGION: LOCAL_AWS.AWS_REGION,
      AWS_ENDPOINT_URL_SQS: queues.endpoint,
      AWS_ENDPOINT_URL_SSM: parameters.url,
      ENIGMA_FAIL: env['ENIGMA_FAIL'] ?? '',
    },
    // console.log goes through the view, like the output of functions in this process.
    onLine: (line) => console.log(line),
    onStart: (pid) => void dataDir.noteChild(pid),
  }
  const functions = new Map<TemplateFunction, LambdaFunction>()
  for (const spec of specs) {
    const taskRoot = join(unpacked, spec.name)
    await unpack(join(packaged, spec.artefact), taskRoot)
    const lambda = createLambdaFunction({ ...spec, taskRoot }, options)
    release(() => lambda.stop())
    functions.set(spec, lambda)
  }
  const find = (what: string, isIt: (spec: TemplateFunction) => boolean): LambdaFunction => {
    const found = specs.find(isIt)
    if (found !== undefined) return functions.get(found) as LambdaFunction
    throw new StreetError('dev.functions.invalid', `the packaged stack has no function ${what}: package it again`)
  }
  const handlers = routes.all.map((route): [Route, LambdaHandler] => {
    const name = queueName(queuePrefix, route)
    return [route, handlerOf(find(`for the queue ${name}`, ({ queue }) => queue === name))]
  })
  return { handlers: new Map(handlers), api: createFunctionUrl(find('with a URL', ({ hasUrl }) => hasUrl)) }
}

const handlerOf =
  (lambda: LambdaFunction): LambdaHandler =>
  async (event) =>
    (await readJson(await lambda.invoke(event))) as Awaited<ReturnType<LambdaHandler>>

/** Returns the secrets that the user's functions declare, from the environment variables. @throws StreetError `dev.parameters.missing` */
function ownSecrets(declared: readonly DeclaredRoute[], env: Env): Record<string, string> {
  const names = declared.flatMap(({ secrets = [] }) => secrets)
  const missing = names.filter((name) => (env[name] ?? '') === '')
  if (missing.length > 0)
    throw new StreetError(
      'dev.parameters.missing',
      `functions/ declares the secrets ${missing.join(', ')}, which a deployed function reads from Parameter Store: set these variables for this run`,
    )
  return Object.fromEntries(names.map((name) => [name, env[name] ?? '']))
}

/** Returns the values of the parameters by the names that the template uses in Parameter Store. */
function parametersOf(specs: readonly TemplateFunction[], secrets: Record<string, string>): Record<string, string> {
  const named = specs.flatMap(({ variables }) =>
    Object.entries(secrets).map(([variable, value]) => [variables[`${variable}_PARAMETER`], value]),
  )
  return Object.fromEntries(named.filter(([name]) => name !== undefined)) as Record<string, string>
}

async function unpack(artefact: string, folder: string): Promise<void> {
  for (const [name, bytes] of Object.entries(unzipSync(await readFile(artefact)))) {
    const file = join(folder, name)
    await mkdir(dirname(file), { recursive: true })
    if (!name.endsWith('/')) await writeFile(file, bytes)
  }
}

/** A function in a compiled template. */
type TemplateFunction = Omit<FunctionSpec, 'taskRoot'> & {
  /** The file name of its artefact, such as `campaignsCdr.zip`. */
  readonly artefact: string
  /** The name of the queue that feeds it. */
  readonly queue: string | undefined
  readonly hasUrl: boolean
}

type Resource = { readonly Type: string; readonly Properties: Readonly<Record<string, unknown>> }

/** Reads the functions of a packaged stack from its template. @throws StreetError `dev.bundles.bad_template` if a value is not plain text */
async function readTemplateFunctions(folder: string): Promise<TemplateFunction[]> {
  // The framework chooses this name.
  const file = join(folder, 'cloudformation-template-update-stack.json')
  const { Resources } = JSON.parse(await readFile(file, 'utf8')) as {
    readonly Resources: Readonly<Record<string, Resource>>
  }
  /** Returns the properties of the resource of a type whose property refers to another resource. */
  const naming = (type: string, property: string, logicalId: string): Resource['Properties'] | undefined =>
    Object.values(Resources).find(
      ({ Type, Properties }) => Type === type && targetOf(Properties[property]) === logicalId,
    )?.Properties
  return Object.entries(Resources)
    .filter(([, { Type }]) => Type === 'AWS::Lambda::Function')
    .map(([logicalId, { Properties: p }]) => {
      const mapping = naming('AWS::Lambda::EventSourceMapping', 'FunctionName', logicalId)
      const queue = mapping && Resources[targetOf(mapping['EventSourceArn']) ?? '']
      const { S3Key } = p['Code'] as { readonly S3Key: string }
      const { Variables = {} } = (p['Environment'] ?? {}) as { readonly Variables?: Readonly<Record<string, unknown>> }
      return {
        name: p['FunctionName'] as string,
        handler: p['Handler'] as string,
        memoryMiB: p['MemorySize'] as number,
        timeoutMs: (p['Timeout'] as number) * 1_000,
        variables: Object.fromEntries(Object.entries(Variables).map(([name, value]) => [name, plain(name, value)])),
        artefact: S3Key.slice(S3Key.lastIndexOf('/') + 1),
        queue: queue?.Properties['QueueName'] as string | undefined,
        hasUrl: naming('AWS::Lambda::Url', 'TargetFunctionArn', logicalId) !== undefined,
      }
    })
}

/** Returns the logical id that a reference names. */
function targetOf(value: unknown): string | undefined {
  const { Ref, 'Fn::GetAtt': attribute } = value as { Ref?: string; 'Fn::GetAtt'?: readonly string[] }
  return Ref ?? attribute?.[0]
}

function plain(name: string, value: unknown): string {
  if (typeof value === 'string') return value
  throw new StreetError(
    'dev.bundles.bad_template',
    `only CloudFormation can resolve the value of the variable ${name}, so a local function cannot use it`,
  )
}
