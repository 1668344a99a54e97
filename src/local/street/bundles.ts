import { unzipSync } from 'fflate'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { queueName, type Route, type Routes } from '../../protocol/index.ts'
import type { Release } from '../../runtime/index.ts'
import type { LambdaAnswer, LambdaHandler } from '../lambda-event.ts'
import { readJson } from '../lambda/environment.ts'
import { createFunctionUrl } from '../lambda/function-url.ts'
import { createLambdaFunction, type LambdaFunction } from '../lambda/function.ts'
import { readTemplateFunctions, type TemplateFunction } from '../lambda/template.ts'
import { startParameterStore } from '../parameter-store.ts'
import { StreetError } from '../errors.ts'
import { LOCAL_AWS } from './settings.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

export type BundlesOptions = {
  /** Where a packaged stack is: its template and artefacts. */
  readonly packaged: string
  /** Where they are unpacked. */
  readonly folder: string
  readonly queuePrefix: string
  readonly routes: Routes
  readonly sqsEndpoint: string
  /** The values of the parameters that the functions read: the variable that is made of each → the value. */
  readonly secrets: Readonly<Record<string, string>>
  /** Called for each line that a function writes. */
  readonly onLine: (line: string) => void
  readonly onStart: (pid: number) => void
  readonly release: Release
}

/** The functions of a packaged stack, each in processes of its own as on Lambda. */
export type Bundles = {
  readonly handlers: ReadonlyMap<Route, LambdaHandler>
  readonly functions: ReadonlyMap<string, LambdaFunction>
  /** The read API behind its URL; not listening yet. */
  readonly api: ReturnType<typeof createFunctionUrl>
}

/** Packages the stack as a deployment does, offline, into a folder. @throws StreetError `dev.bundles.not_packaged` */
export async function packageStack(folder: string, prefix: string): Promise<void> {
  const child = spawn(
    process.execPath,
    [
      '--conditions=source',
      join(ROOT, 'infra/deploy/deploy.ts'),
      'package',
      '--package',
      folder,
      `--param=prefix=${prefix}`,
      '--stage',
      'local',
    ],
    {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  if (child.exitCode !== 0)
    throw new StreetError(
      'dev.bundles.not_packaged',
      `npm run package fails: ${(errors + out).trim().split('\n').slice(-5).join(' ')}`,
    )
}

/** Starts nothing yet: a function starts when it is invoked first. */
export async function loadBundles(options: BundlesOptions): Promise<Bundles> {
  const { packaged, folder, queuePrefix, routes, release } = options
  const specs = await readTemplateFunctions(packaged)
  const parameters = await startParameterStore(parametersOf(specs, options.secrets))
  release(() => parameters.stop())
  await rm(folder, { recursive: true, force: true })
  // The runtime brings the SDK: functions find it above their own folder.
  await mkdir(join(folder, 'node_modules'), { recursive: true })
  await symlink(join(ROOT, 'node_modules/@aws-sdk'), join(folder, 'node_modules/@aws-sdk'))

  const aws = {
    ...LOCAL_AWS,
    AWS_DEFAULT_REGION: LOCAL_AWS.AWS_REGION,
    AWS_ENDPOINT_URL_SQS: options.sqsEndpoint,
    AWS_ENDPOINT_URL_SSM: parameters.url,
  }
  const functions = new Map<string, LambdaFunction>()
  for (const spec of specs) {
    const taskRoot = join(folder, spec.name)
    await unpack(join(packaged, spec.artefact), taskRoot)
    const made = createLambdaFunction({ ...spec, taskRoot }, { aws, onLine: options.onLine, onStart: options.onStart })
    release(() => made.stop())
    functions.set(spec.name, made)
  }
  const handlers = routes.all.map((route): [Route, LambdaHandler] => {
    const spec = specs.find(({ queue }) => queue?.name === queueName(queuePrefix, route))
    if (spec === undefined)
      throw new StreetError(
        'dev.functions.invalid',
        `the packaged stack has no function for the queue ${queueName(queuePrefix, route)}: package it anew`,
      )
    return [route, handlerOf(functions.get(spec.name) as LambdaFunction)]
  })
  const api = specs.find(({ url }) => url !== undefined)
  if (api === undefined)
    throw new StreetError('dev.functions.invalid', 'the packaged stack has no function with a URL: package it anew')
  return { handlers: new Map(handlers), functions, api: createFunctionUrl(functions.get(api.name) as LambdaFunction) }
}

const handlerOf =
  (lambda: LambdaFunction): LambdaHandler =>
  async (event) =>
    (await readJson(await lambda.invoke(event))) as LambdaAnswer

/** What the functions ask Parameter Store for, by the names that the template gives them. */
function parametersOf(
  specs: readonly TemplateFunction[],
  secrets: Readonly<Record<string, string>>,
): Record<string, string> {
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
