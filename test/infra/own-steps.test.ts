import { build } from 'esbuild'
import { execFile } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { createClient } from 'redis'
import { expect, onTestFinished, test, vi } from 'vitest'
import { FUNCTION_BUNDLE } from '../../infra/build/bundle-functions.ts'
import { callRecord } from '../support/call-record.ts'
import { useFolder } from '../support/relay.ts'
import { useStore } from '../support/store.ts'

test('in a bundle a handler may use every command of @upstash/redis, replace fetch, and be traced', async () => {
  const { store, proxy, redis } = await useStore()
  const pops: string[] = []
  const crm = createServer((request, response) => {
    request.on('data', (chunk: Buffer) => pops.push(chunk.toString())).on('end', () => response.end())
  })
  await new Promise<void>((resolve) => crm.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    crm.close()
    crm.closeAllConnections()
  })
  const crmUrl = `http://127.0.0.1:${(crm.address() as AddressInfo).port}`
  const env = { CRM_URL: crmUrl, UPSTASH_REDIS_REST_URL: proxy.url, UPSTASH_REDIS_REST_TOKEN: 'test-token' }
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  onTestFinished(() => void vi.unstubAllEnvs())
  const folder = await useFolder()
  const outfile = join(folder, 'own.mjs')
  await build({ ...FUNCTION_BUNDLE, sourcemap: false, entryPoints: ['test/infra/own-steps.ts'], outfile })
  // First in a process of its own, as on Lambda: here, all modules have a `require`.
  const load = join(folder, 'load.mjs')
  await writeFile(load, `await import(${JSON.stringify(outfile)})\nprocess.exit(0)`)
  await promisify(execFile)(process.execPath, [load], { env })
  const { handler } = (await import(pathToFileURL(outfile).href)) as typeof import('./own-steps.ts')

  // Replaces fetch, as a library does that traces requests.
  const plain = globalThis.fetch
  const fetched = new Set<string>()
  vi.stubGlobal('fetch', (input: string | URL | Request, init?: RequestInit) => {
    fetched.add(new URL(input instanceof Request ? input.url : input).origin)
    return plain(input, init)
  })
  onTestFinished(() => void vi.unstubAllGlobals())
  const traced = new Set<unknown>()
  const trace = (message: unknown) => traced.add((message as { request: { origin: unknown } }).request.origin)
  subscribe('undici:request:create', trace)
  onTestFinished(() => void unsubscribe('undici:request:create', trace))

  expect(await handler({ Records: [callRecord()] }, { getRemainingTimeInMillis: () => 30_000 })).toEqual({
    batchItemFailures: [],
  })
  expect(pops.map((pop) => JSON.parse(pop) as unknown)).toEqual([{ ref: '1002', call_ref: '7' }])
  const client = await createClient({ url: redis.url }).connect()
  onTestFinished(() => client.destroy())
  expect(await client.get('own:pop')).toBe('{"agent":"1002","connections":0}')
  expect(await store.read.agent('1002')).toMatchObject({ call: { call_ref: '7' } })
  expect([fetched, traced]).toEqual([new Set([proxy.url, crmUrl]), new Set([proxy.url, crmUrl])])
})
