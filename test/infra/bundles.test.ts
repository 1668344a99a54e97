import { brotliDecompressSync } from 'node:zlib'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test, vi } from 'vitest'
import {
  bundleFunctions,
  FUNCTIONS_FOLDER,
  MAX_OWN_BYTES,
  ownBytes,
  readOpenApiDocument,
} from '../../infra/build/bundle-functions.ts'
import { bundleConsole } from '../../infra/build/bundle-console.ts'
import { formatReport } from '../../infra/build/bundle.ts'
import { startParameterStore } from '../../src/local/local-aws.ts'

import { ROOT } from '../cli/run.ts'
import { callRecord } from '../support/call-record.ts'
import { useStore } from '../support/store.ts'
import { NEEDY, ROUTES } from '../support/routes.ts'

const TOKEN = 'a-token-of-thirty-two-characters-'
const run = promisify(execFile)

const names = [...ROUTES.all.map(({ name }) => name), 'api'].toSorted()

const digest = async (): Promise<Record<string, string>> => {
  const files = (await readdir(FUNCTIONS_FOLDER, { recursive: true }))
    .filter((file) => /\.mjs(\.map)?$/.test(file))
    .toSorted()
  return Object.fromEntries(
    await Promise.all(
      files.map(async (file) => [
        file,
        createHash('sha256')
          .update(await readFile(join(FUNCTIONS_FOLDER, file)))
          .digest('hex'),
      ]),
    ),
  )
}

test('each function is one small, reproducible module without the AWS SDK and without the packages that make documents', async () => {
  const metafile = await bundleFunctions(ROUTES.all)
  const first = await digest()
  expect(Object.keys(first)).toEqual(names.flatMap((name) => [`${name}/index.mjs`, `${name}/index.mjs.map`]))
  await bundleFunctions(ROUTES.all)
  expect(await digest()).toEqual(first)
  for (const [file, output] of Object.entries(metafile.outputs)) {
    if (!file.endsWith('.mjs')) continue
    const { inputs, imports } = output
    expect(ownBytes(output), file).toBeLessThanOrEqual(MAX_OWN_BYTES)
    const parts = Object.entries(inputs)
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([name]) => name)
      .join('\n')
    expect(parts, file).not.toMatch(/@aws-sdk|@smithy|to-json-schema|standard-openapi|node_modules\/hono-openapi/)
    // Loaded when something goes wrong, and not when a function starts.
    expect(
      imports.filter(({ path }) => path.startsWith('@aws-sdk/')).every(({ kind }) => kind === 'dynamic-import'),
      file,
    ).toBe(true)
    // A user's own package may import an optional package that is not installed.
    if (!NEEDY.has(basename(dirname(file))))
      expect(
        imports.filter(({ path, external }) => external === true && !path.startsWith('@aws-sdk/') && !isBuiltin(path)),
        file,
      ).toEqual([])
  }
  // The read model's script goes packed and without its comments.
  const bundle = await readFile(join(FUNCTIONS_FOLDER, 'agents-call/index.mjs'), 'utf8')
  const texts = [...bundle.matchAll(/[A-Za-z0-9+/]{1000,}={0,2}/g)].map(([packed]) =>
    brotliDecompressSync(Buffer.from(packed, 'base64')).toString(),
  )
  const script = Object.values(JSON.parse(texts[0] ?? '{}') as Record<string, string>).join('\n')
  expect([script.includes('function apply.call'), /^ *-- /m.test(script)]).toEqual([true, false])
  const map = JSON.parse(await readFile(join(FUNCTIONS_FOLDER, 'agents-call/index.mjs.map'), 'utf8')) as {
    sources: string[]
    sourcesContent?: unknown
  }
  expect(map.sources).toContain('../../../functions/agents/call.ts')
  expect(map.sourcesContent).toBeUndefined()
  // The same bytes also in another folder, on another machine.
  for (const name of names)
    expect(await readFile(join(FUNCTIONS_FOLDER, name, 'index.mjs.map'), 'utf8'), name).not.toContain(
      ROOT.replace(/\/$/, ''),
    )
})

test('only the API bundle has the files of the console; files of a previous build are removed', async () => {
  const console = await bundleConsole()
  await bundleFunctions(ROUTES.all, console)
  const stale = join(FUNCTIONS_FOLDER, 'api/console/main-STALE123.js')
  await writeFile(stale, 'of a former build')
  await bundleFunctions(ROUTES.all, console)
  const files = (await readdir(FUNCTIONS_FOLDER, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !/^index\.mjs(\.map)?$/.test(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name))
  expect(files.toSorted()).toEqual(
    [...console.files.keys()].map((name) => join(FUNCTIONS_FOLDER, 'api/console', name)).toSorted(),
  )
  const table = await readFile(join(FUNCTIONS_FOLDER, 'api/console/files.json'), 'utf8')
  expect(JSON.parse(table)).toEqual(console.table)
})

test('a function loads Node’s implementation of fetch while it starts, not in its first invocation', async () => {
  await bundleFunctions(ROUTES.all)
  const { proxy } = await useStore()
  const parameters = await startParameterStore({ '/s/url': proxy.url, '/s/token': 'test-token', '/s/api': TOKEN })
  onTestFinished(() => parameters.stop())
  const env = {
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'x',
    AWS_SECRET_ACCESS_KEY: 'x',
    AWS_ENDPOINT_URL_SSM: parameters.url,
    UPSTASH_REDIS_REST_URL_PARAMETER: '/s/url',
    UPSTASH_REDIS_REST_TOKEN_PARAMETER: '/s/token',
    API_TOKEN_PARAMETER: '/s/api',
    API_TOKENS_PARAMETER: '/s/apis',
  }
  /** Returns whether that module is loaded before the handler runs, and the answer of the handler. */
  const start = async (name: string, event: unknown) => {
    const code = `
      const { handler } = await import(${JSON.stringify(pathToFileURL(join(FUNCTIONS_FOLDER, name, 'index.mjs')).href)})
      const isLoaded = () => process.moduleLoadList.some((module) => module.endsWith('internal/deps/undici/undici'))
      const loaded = isLoaded()
      const answer = await handler(${JSON.stringify(event)}, { getRemainingTimeInMillis: () => 30_000 })
      process.stdout.write(JSON.stringify({ answer, loaded }))
      process.exit(0)`
    return JSON.parse((await run(process.execPath, ['--input-type=module', '-e', code], { env })).stdout) as unknown
  }
  expect(await start('agents-call', { Records: [callRecord()] })).toEqual({
    answer: { batchItemFailures: [] },
    loaded: true,
  })
  const headers = { host: 'example', authorization: `Bearer ${TOKEN}` }
  const request = {
    version: '2.0',
    rawPath: '/agents',
    rawQueryString: '',
    headers,
    requestContext: { domainName: 'example', http: { method: 'GET', path: '/agents' } },
    isBase64Encoded: false,
  }
  expect(await start('api', request)).toMatchObject({
    answer: {
      statusCode: 200,
      headers: { etag: expect.stringMatching(/^W/) as string, 'cache-control': 'private, no-cache' },
    },
    loaded: true,
  })
})

test('the report names each bundle, its size and its three largest inputs', async () => {
  const lines = formatReport(await bundleFunctions(ROUTES.all)).split('\n')
  expect(lines[0]).toMatch(/^bundle +kB +largest inputs, kB$/)
  expect(lines.slice(1).map((line) => line.split(' ')[0])).toEqual(names)
  for (const line of lines.slice(1))
    expect(line).toMatch(/ \d+\.\d {2}[@\w/-]+ \d+\.\d, [@\w/-]+ \d+\.\d, [@\w/-]+ \d+\.\d$/)
})

test('the bundled API serves the same OpenAPI document as its sources', async () => {
  await bundleFunctions(ROUTES.all)
  for (const [name, value] of Object.entries({
    API_TOKEN: TOKEN,
    UPSTASH_REDIS_REST_URL: 'http://127.0.0.1:1',
    UPSTASH_REDIS_REST_TOKEN: 'x',
  }))
    vi.stubEnv(name, value)
  onTestFinished(() => void vi.unstubAllEnvs())
  const { app } = (await import(pathToFileURL(join(FUNCTIONS_FOLDER, 'api/index.mjs')).href)) as {
    app: { request: (path: string, init?: RequestInit) => Promise<Response> }
  }
  const get = (path: string) => app.request(path, { headers: { authorization: `Bearer ${TOKEN}` } })
  const response = await get('/openapi.json')
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  expect(await response.text()).toBe(await readOpenApiDocument())
  // Parameters are checked as before.
  expect(await (await get('/cdrs?limit=0')).json()).toMatchObject({ status: 400, parameter: 'limit' })
  expect(await (await get('/cdrs?nobody=1')).json()).toMatchObject({ status: 400, parameter: 'nobody' })
})
