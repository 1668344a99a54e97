import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { ROOT } from '../cli/run.ts'
import { useStore } from '../support/store.ts'

const run = promisify(execFile)
const folder = await mkdtemp(join(tmpdir(), 'enigma-package-'))
afterAll(() => rm(folder, { recursive: true, force: true }))
// Node 24, as the tests run under.
const PATH = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`
const inFolder = (command: string, args: readonly string[], env: Record<string, string> = {}) =>
  run(command, args, { cwd: folder, env: { PATH, HOME: process.env['HOME'] ?? '/', ...env } })

/** A function of a user's own, as docs/functions.md shows it, around an example. */
const OWN = `
import { fromSqs } from 'enigma-relay/adapter'
import { createStoreWriter, type Effect } from 'enigma-relay/store'
import { app } from './crm-pop.ts'

const store = createStoreWriter({ url: process.env['STORE'] ?? '', token: 'test-token' })

export const handler = fromSqs<Effect>(app, {
  commit: store.commit, recall: store.recall, attempts: 10, postpone: async () => undefined,
})
`
const RUN = `
import { formatEvent, formatPacket, formatSequence } from 'enigma-relay/protocol'
import { createClient } from 'enigma-relay/client'
import { createProducer } from 'enigma-relay/producer'
import { handler } from './own.ts'

if (typeof createProducer !== 'function') throw new Error('no producer')
if (typeof createClient({ url: '' }).agents !== 'function') throw new Error('no client')
const body = formatEvent({
  id: 'main/p/5/1', source: '/enigma/main', type: 'enigma.agents.call', subject: '1002', time: new Date().toISOString(), datacontenttype: 'application/json',
  data: formatPacket({ type: 'call', payload: { ref: '1002', call_ref: '7', contact_ref: 'k' } }), transport: 'pubsub', channel: 'enigma:notifications:agents:1002', sequence: formatSequence(5, 1),
})
const record = { messageId: 'm', receiptHandle: 'r', body, messageAttributes: {}, attributes: { ApproximateReceiveCount: '1', MessageGroupId: '1' }, eventSourceARN: 'arn:aws:sqs:eu-west-1:1:enigma-agents-call.fifo' }
console.log(JSON.stringify(await handler({ Records: [record] })))
`

beforeAll(async () => {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: ROOT,
    env: { ...process.env, PATH },
    maxBuffer: 64 * 1024 * 1024,
  })
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ filename: string }]
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), '{ "name": "own", "private": true, "type": "module" }')
  // With the settings of this machine for registries, proxies and certificate authorities.
  await run('npm', ['install', '--no-audit', '--no-fund', '--omit=optional', join(folder, packed.filename)], {
    cwd: folder,
    env: { ...process.env, PATH },
    timeout: 120_000,
  })
}, 180_000)

test('the package has no TypeScript sources and no bundles, and its program prints its usage and version', async () => {
  const { stdout } = await inFolder('npx', ['--no-install', 'enigma-relay', '--help'])
  expect(stdout).toContain('Usage: enigma-relay')
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  expect((await inFolder('npx', ['--no-install', 'enigma-relay', '--version'])).stdout.trim()).toBe(
    `enigma-relay ${version}`,
  )
  const { stdout: files } = await run(
    'find',
    ['.', '-name', '*.ts', '-not', '-name', '*.d.ts', '-o', '-path', '*/functions/*', '-o', '-name', '*.mjs'],
    { cwd: join(folder, 'node_modules/enigma-relay') },
  )
  expect(
    files.split('\n').filter((file) => file !== '' && !file.startsWith('./docs/') && !file.includes('node_modules')),
  ).toEqual([])
})

test('the API of the package serves the console that is in it', async () => {
  await writeFile(
    join(folder, 'console.ts'),
    `
import { createApi } from 'enigma-relay/api'
import { readConsole } from 'enigma-relay/lambda'

const app = createApi({ read: {} as never, token: 'a-token-of-thirty-two-characters-', console: readConsole() })
const page = await app.request('/console/')
const [, script] = /src="([^"]+)"/.exec(await page.text()) ?? []
const answer = await app.request('/console/' + script, { headers: { 'accept-encoding': 'br' } })
console.log(page.status, answer.status, answer.headers.get('content-encoding'))
`,
  )
  expect((await inFolder(process.execPath, ['console.ts'])).stdout.trim()).toBe('200 200 br')
})

test("a user's own function is type-checked and runs against the package", async () => {
  await cp(join(ROOT, 'examples/crm-pop.ts'), join(folder, 'crm-pop.ts'))
  await writeFile(join(folder, 'own.ts'), OWN)
  await writeFile(join(folder, 'run.ts'), RUN)
  // The types of every entry are complete: the compiler checks those of libraries as well, by default.
  const { exports } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { exports: object }
  const entries = Object.entries(exports).flatMap(([name, to]: [string, { readonly types?: string }]) =>
    to.types === undefined ? [] : [name.replace('.', 'enigma-relay')],
  )
  expect(entries.length).toBeGreaterThan(8)
  const names = entries.map((entry, at) => `import * as entry${at} from '${entry}'`)
  await writeFile(
    join(folder, 'entries.ts'),
    `${names.join('\n')}\nexport default [${entries.map((_, at) => `entry${at}`).join()}]\n`,
  )
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        target: 'es2024',
        module: 'nodenext',
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        allowImportingTsExtensions: true,
        erasableSyntaxOnly: true,
        types: ['node'],
        typeRoots: [join(ROOT, 'node_modules/@types')],
      },
      files: ['own.ts', 'run.ts', 'entries.ts'],
    }),
  )
  await inFolder(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', '.']).catch(
    ({ stdout }: { stdout: string }) => expect(stdout).toBe(''),
  )

  const { store, proxy } = await useStore()
  const pops: unknown[] = []
  const crm = createServer((request, response) => {
    pops.push(request.headers['idempotency-key'])
    response.end()
  }).listen(0, '127.0.0.1')
  await once(crm, 'listening')
  onTestFinished(() => void crm.close())
  const { stdout } = await inFolder(process.execPath, ['run.ts'], {
    STORE: proxy.url,
    CRM_URL: `http://127.0.0.1:${(crm.address() as AddressInfo).port}/`,
    CRM_TOKEN: 'crm-token',
  })
  expect(JSON.parse(stdout)).toEqual({ batchItemFailures: [] })
  expect(pops).toEqual(['main/p/5/1'])
  expect((await store.read.agent('1002'))?.call).toMatchObject({ call_ref: '7' })
}, 60_000)
