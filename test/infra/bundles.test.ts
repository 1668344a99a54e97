import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test, vi } from 'vitest'
import { bundleFunctions, FUNCTIONS_FOLDER, MOST_BYTES } from '../../infra/build/bundle-functions.ts'
import { formatReport } from '../../infra/build/report.ts'
import { readOpenApiDocument } from '../../infra/build/openapi-document.ts'
import { ROUTES } from '../../src/protocol/index.ts'
import { ROOT } from '../cli/run.ts'

const names = [...ROUTES.map(({ name }) => name), 'api'].toSorted()

const digest = async (): Promise<Record<string, string>> => {
  const files = (await readdir(FUNCTIONS_FOLDER, { recursive: true })).filter((file) => /\.mjs(\.map)?$/.test(file)).toSorted()
  return Object.fromEntries(await Promise.all(files.map(async (file) => [file, createHash('sha256').update(await readFile(join(FUNCTIONS_FOLDER, file))).digest('hex')])))
}

test('each function is one small module, the same bytes each time; what the runtime has, and what only makes documents, is not in it', async () => {
  const metafile = await bundleFunctions()
  const first = await digest()
  expect(Object.keys(first)).toEqual(names.flatMap((name) => [`${name}/index.mjs`, `${name}/index.mjs.map`]))
  await bundleFunctions()
  expect(await digest()).toEqual(first)
  for (const [file, { bytes, inputs, imports }] of Object.entries(metafile.outputs)) {
    if (!file.endsWith('.mjs')) continue
    expect(bytes, file).toBeLessThanOrEqual(MOST_BYTES)
    const parts = Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([name]) => name).join('\n')
    expect(parts, file).not.toMatch(/@aws-sdk|@smithy|to-json-schema|standard-openapi|node_modules\/hono-openapi/)
    // Loaded when something goes wrong, and not when a function starts.
    expect(imports.filter(({ path }) => path.startsWith('@aws-sdk/')).every(({ kind }) => kind === 'dynamic-import'), file).toBe(true)
    expect(imports.filter(({ path, external }) => external === true && !path.startsWith('@aws-sdk/') && !/^(node:|crypto$)/.test(path)), file).toEqual([])
  }
  const map = JSON.parse(await readFile(join(FUNCTIONS_FOLDER, 'agents-call/index.mjs.map'), 'utf8')) as { sources: string[]; sourcesContent?: unknown }
  expect(map.sources).toContain('../../../functions/agents/call.ts')
  expect(map.sourcesContent).toBeUndefined()
  // The same bytes also in another folder, on another machine.
  for (const name of names) expect(await readFile(join(FUNCTIONS_FOLDER, name, 'index.mjs.map'), 'utf8'), name).not.toContain(ROOT.replace(/\/$/, ''))
})

test('the report names each bundle, its size and its three largest inputs', async () => {
  const lines = formatReport(await bundleFunctions()).split('\n')
  expect(lines[0]).toMatch(/^bundle +kB +largest inputs, kB$/)
  expect(lines.slice(1).map((line) => line.split(' ')[0])).toEqual(names)
  for (const line of lines.slice(1)) expect(line).toMatch(/ \d+\.\d {2}[@\w/-]+ \d+\.\d, [@\w/-]+ \d+\.\d, [@\w/-]+ \d+\.\d$/)
})

test('the bundled API answers with the very document that its sources make', async () => {
  await bundleFunctions()
  for (const [name, value] of Object.entries({ API_TOKEN: 'a-token', UPSTASH_REDIS_REST_URL: 'http://127.0.0.1:1', UPSTASH_REDIS_REST_TOKEN: 'x' })) vi.stubEnv(name, value)
  onTestFinished(() => void vi.unstubAllEnvs())
  const { app } = (await import(pathToFileURL(join(FUNCTIONS_FOLDER, 'api/index.mjs')).href)) as { app: { request: (path: string, init?: RequestInit) => Promise<Response> } }
  const get = (path: string) => app.request(path, { headers: { authorization: 'Bearer a-token' } })
  const response = await get('/openapi.json')
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  expect(await response.text()).toBe(await readOpenApiDocument())
  // Parameters are checked as before.
  expect(await (await get('/cdrs?limit=0')).json()).toMatchObject({ status: 400, parameter: 'limit' })
  expect(await (await get('/cdrs?nobody=1')).json()).toMatchObject({ status: 400, parameter: 'nobody' })
})
