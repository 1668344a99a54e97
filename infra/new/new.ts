import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { appFile } from '../../src/lambda/declarations.ts'
import { DEFAULT_LIMITS, faultsOfRoute, type Route } from '../../src/protocol/index.ts'
import { root } from '../build/bundle.ts'
import { DeployError, reportError } from '../deploy-error.ts'

/** Reads a template and puts the names of a route into it. */
async function fill(template: string, { name, type, subType }: Route): Promise<string> {
  const text = await readFile(new URL(template, import.meta.url), 'utf8')
  return text.replaceAll('{name}', name).replaceAll('{type}', type).replaceAll('{subType}', subType)
}

const ALL = 'functions/all.ts'

/** Adds a function to the list that edge platforms host, before the route `other`. */
async function addToAll({ name, type, subType }: Route): Promise<void> {
  const text = await readFile(join(root, ALL), 'utf8')
  const own = name.replace(/[^a-z0-9]+(.)/gi, (_, first: string) => first.toUpperCase())
  const added = text
    .replace(/^import \* as other /m, `import * as ${own} from './${type}/${subType}.ts'\n$&`)
    .replace(/^ {2}other,$/m, `  ${own},\n$&`)
  await writeFile(join(root, ALL), added)
  process.stdout.write(`added the function to ${ALL}\n`)
}

/** Runs `npm run new -- agents/break`: writes the function of a sub_type with its declaration, and its test. Exit codes: 0, 1 failed, 2 wrong arguments. */
async function create(args: readonly string[]): Promise<void> {
  const [type = '', subType = '', ...more] = (args[0] ?? '').split('/')
  if (args.length !== 1 || type === '' || subType === '' || more.length > 0)
    throw new DeployError('deploy.options.invalid', 'name one type and sub_type: npm run new -- agents/break')
  const route: Route = { ...DEFAULT_LIMITS, name: `${type}-${subType}`, type, subType }
  const faults = [...faultsOfRoute(route)]
  if (faults.length > 0) throw new DeployError('deploy.options.invalid', faults.join('\n'))
  const files = [
    [appFile(route), await fill('function.template', route)],
    [`test/functions/${route.name}.test.ts`, await fill('test.template', route)],
  ] as const
  for (const [file] of files)
    if (existsSync(join(root, file)))
      throw new DeployError('deploy.options.invalid', `${file} exists already; remove it first, or edit it`)
  for (const [file, text] of files) {
    await mkdir(dirname(join(root, file)), { recursive: true })
    await writeFile(join(root, file), text)
    process.stdout.write(`wrote ${file}\n`)
  }
  await addToAll(route)
  process.stdout.write(
    `Write the schema and the logic of the function, then run: npm test -- ${route.name}\n` +
      `Then start npm run dev -- --no-simulator, and publish a packet. Use the ports and the token that it prints:\n` +
      `  redis-cli -p 8001 PUBLISH enigma:notifications:${type}:1 '{"type":"${subType}","payload":{"ref":"1"}}'\n` +
      `  curl -H "Authorization: Bearer $API_TOKEN" http://127.0.0.1:8080/kinds/${type}/${subType}/1\n`,
  )
}

try {
  await create(process.argv.slice(2))
} catch (error) {
  process.exitCode = reportError(error)
}
