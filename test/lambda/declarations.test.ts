import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readDeclarations, readOwnRoutes } from '../../src/lambda/declarations.ts'
import { DEFAULT_LIMITS, formatRoutes, OTHER, parseRoutes, RELAY_ROUTES, type Route } from '../../src/protocol/index.ts'
import { useFolder } from '../support/relay.ts'
import { DECLARED, ROUTES } from '../support/routes.ts'

const APP = "export const app = { fetch: () => new Response('') }\n"
const file = (declaration: object, app = APP): string =>
  `${app}export const route = { ...${JSON.stringify({ ...DEFAULT_LIMITS, ...declaration })}, payload: { '~standard': {} } }\n`
const named = (type: string, subType: string, own: object = {}) =>
  file({ type, subType, name: `${type}-${subType}`, ...own })

/** A folder with these files of `functions/`. */
async function useFunctions(files: Readonly<Record<string, string>>): Promise<URL> {
  const folder = await useFolder()
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, 'functions', name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  return pathToFileURL(`${folder}/`)
}

test('each function declares its route; files that export no app, and those beside the folders, declare none', async () => {
  const root = await useFunctions({
    'agents/break.ts': named('agents', 'break', { alarmAgeSeconds: 7 }),
    'crm/note.ts': named('crm', 'note'),
    'crm/client.ts': 'export const url = 1',
    'other.ts': APP,
  })
  const routes = await readDeclarations(root)
  expect(routes.map(({ name, alarmAgeSeconds }) => [name, alarmAgeSeconds])).toEqual([
    ['agents-break', 7],
    ['crm-note', 300],
  ])
})

test.each<[string, string, RegExp]>([
  ['agents/break.ts', named('agents', 'pause'), /declares agents\/pause; move it to functions\/agents\/pause\.ts/],
  ['agent/break.ts', named('agent', 'break'), /"agent" is written "agents"/],
  ['relay/break.ts', named('relay', 'break'), /"relay" is reserved/],
  ['crm/a b.ts', named('crm', 'a b'), /"a b" cannot be part of a queue's name/],
  ['crm/x.ts', named('crm', 'x'.repeat(40)), /more than 31 characters/],
  ['crm/x.ts', named('crm', 'x', { maxConcurrency: 1 }), /maxConcurrency is 1; .*2 to 1000/],
  ['crm/x.ts', named('crm', 'x', { memoryMiB: 'much' }), /memoryMiB is much; .*128 to 10240/],
  ['crm/x.ts', named('crm', 'x', { attempts: 60 }), /attempts \(60\).*maxReceiveCount \(50\)/],
  ['crm/x.ts', named('crm', 'x', { handlerSeconds: 31 }), /handlerSeconds \(31\).*timeoutSeconds \(30\)/],
  ['crm/x.ts', named('crm', 'x').replace("{ '~standard': {} }", '{}'), /payload is not a schema/],
  ['crm/x.ts', APP, /does not declare a route; .*type: 'crm', subType: 'x'/],
  ['crm/x.ts', file({ type: 'crm', subType: 'x', name: 'crm-x' }, ''), /does not export a Hono app named app/],
  ['crm/x.ts', 'throw new Error("CRM_URL is missing")', /cannot be loaded: CRM_URL is missing/],
])('%s is rejected with the fix (%#)', async (name, text, words) => {
  const problem = await readDeclarations(await useFunctions({ [name]: text })).catch((error: unknown) => error)
  expect(problem).toMatchObject({ code: 'functions.routes.invalid' })
  const lines = (problem as Error).message.split('\n')
  expect(lines.filter((line) => !line.startsWith(`functions/${name}`))).toEqual([])
  expect(
    lines.some((line) => words.test(line)),
    lines.join('\n'),
  ).toBe(true)
})

test('two routes that a queue or a template could not distinguish are rejected, and all faults are reported at once', async () => {
  const root = await useFunctions({
    'crm/call-note.ts': named('crm', 'call-note'),
    'crm/call_note.ts': named('crm', 'call_note'),
    'crm/x.ts': APP,
  })
  const message = await readDeclarations(root).catch((error: unknown) => (error as Error).message)
  expect(message).toMatch(/functions\/crm\/x\.ts does not declare a route/)
  expect(message).toMatch(/functions\/crm\/call_note\.ts: .*functions\/crm\/call-note\.ts; rename/)
})

test('readOwnRoutes returns the routes of the declarations, and loads no function in the process that asks for them', async () => {
  expect((await readOwnRoutes()).all.map(({ name }) => name)).toEqual(ROUTES.all.map(({ name }) => name))
  const main = join(await useFolder(), 'main.mjs')
  await writeFile(
    main,
    `const { registerHooks } = await import('node:module')
const loaded = []
registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
const { readOwnRoutes } = await import(${JSON.stringify(new URL('../../src/lambda/declarations.ts', import.meta.url))})
await readOwnRoutes()
process.stdout.write(loaded.join('\\n'))
`,
  )
  const args = ['--conditions=source', '--disable-warning=ExperimentalWarning', main]
  const loaded = (await promisify(execFile)(process.execPath, args)).stdout.split('\n')
  expect(loaded).toContainEqual(expect.stringMatching(/\/src\/lambda\/declarations\.ts$/))
  expect(loaded.filter((url) => url.includes('/functions/'))).toEqual([])
})

test('a route table that is written and read back is the same table, with the routes of notices and the route other', () => {
  const read = parseRoutes(formatRoutes(DECLARED))
  const plain = ({ name, lanes, maxAgeMs, attempts }: Route) => ({ name, lanes, maxAgeMs, attempts })
  expect(read.all.map(plain)).toEqual(ROUTES.all.map(plain))
  expect(read.all.slice(-5)).toEqual([...Object.values(RELAY_ROUTES), OTHER])
  expect(formatRoutes(DECLARED)).not.toContain('payload')
})

test.each([
  ['{', /not JSON/],
  ['{}', /not a JSON array/],
  ['[{"name":"a-b"}]', /no name, type or subType/],
  [formatRoutes([{ ...OTHER, name: 'relay-x', type: 'relay', subType: 'x' }]), /relay-x.*reserved/],
  [formatRoutes([{ ...OTHER, name: 'a-b', type: 'a', subType: 'b', lanes: 0 }]), /a-b.*lanes is 0/],
])('a file that is not a route table is refused: %s', (text, words) => {
  expect(() => parseRoutes(text)).toThrow(
    expect.objectContaining({ code: 'protocol.routes.invalid', message: expect.stringMatching(words) as string }),
  )
})
