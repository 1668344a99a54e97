import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import type { ConsoleFiles } from '../../src/api/index.ts'
import { listen } from '../../src/local/servers.ts'
import { bundledConsole, createLoginCode, addConsole } from '../../src/local/street/street-api.ts'
import { ROOT } from '../cli/run.ts'
import { useFolder } from '../support/relay.ts'

const FILES: ConsoleFiles = {
  table: async () => ({ 'index.html': { type: 'text/html', encodings: [] } }),
  read: async () => new TextEncoder().encode('the page'),
}

/** An API that answers with what it is asked for, behind the console. */
async function useFront(exchange: ((code: string) => string | undefined) | undefined, files?: ConsoleFiles) {
  const api = createServer((request, response) => response.end(`API ${request.method} ${request.url}`))
  addConsole(api, exchange, files)
  const { url, stop } = await listen(api)
  onTestFinished(stop)
  return async (method: string, path: string, body?: string) => {
    const response = await fetch(url + path, { method, redirect: 'manual', ...(body === undefined ? {} : { body }) })
    return [response.status, await response.text()] as const
  }
}

test('a login code is exchanged once, within ten minutes; wrong codes do not use it up', () => {
  const clock = { ms: 0 }
  const first = createLoginCode('token', () => clock.ms)
  expect(first.code).toMatch(/^[0-9a-f]{32}$/)
  for (const wrong of ['', 'x', `${first.code}0`, first.code.slice(1)]) expect(first.exchange(wrong)).toBeUndefined()
  clock.ms = 600_000
  expect([first.exchange(first.code), first.exchange(first.code)]).toEqual(['token', undefined])
  const second = createLoginCode('token', () => clock.ms)
  expect(second.code).not.toBe(first.code)
  clock.ms += 600_001
  expect(second.exchange(second.code)).toBeUndefined()
})

test('with console files, the console answers its own paths, and the API gets every other request', async () => {
  const ask = await useFront((code) => (code === 'c' ? 'the token' : undefined), FILES)
  expect((await ask('GET', '/'))[0]).toBe(302)
  expect((await ask('GET', '/console'))[0]).toBe(302)
  expect(await ask('GET', '/console/')).toEqual([200, 'the page'])
  expect(await ask('GET', '/console/?a=b')).toEqual([200, 'the page'])
  expect((await ask('GET', '/console/none'))[0]).toBe(404)
  expect(await ask('POST', '/console/login', '{"code":"c"}')).toEqual([200, '{"token":"the token"}'])
  expect((await ask('POST', '/console/login', '{"code":"d"}'))[0]).toBe(401)
  for (const path of ['/agents', '/consoles', '/agents?next=/console/'])
    expect(await ask('GET', path)).toEqual([200, `API GET ${path}`])
})

test('in front of a packaged API only the login is answered, and only if there is a login code', async () => {
  const ask = await useFront(() => undefined)
  expect((await ask('POST', '/console/login', '{"code":"c"}'))[0]).toBe(401)
  expect(await ask('GET', '/console/')).toEqual([200, 'API GET /console/'])
  const none = await useFront(undefined)
  expect(await none('POST', '/console/login', '{}')).toEqual([200, 'API POST /console/login'])
})

test('the console is bundled at the first request and reused; after a failed build, the next request builds it again', async () => {
  const files = bundledConsole(pathToFileURL(ROOT))
  const table = await files.table()
  expect(await files.table()).toBe(table)
  expect(new TextDecoder().decode(await files.read('index.html', undefined))).toContain('src="main-')
  const broken = bundledConsole(new URL('file:///nowhere/'))
  await expect(broken.table()).rejects.toThrow()
  await expect(broken.table()).rejects.toThrow()
  // Its first build fails, as while a source is being edited.
  const folder = await useFolder()
  await mkdir(join(folder, 'infra/build'), { recursive: true })
  await writeFile(
    join(folder, 'infra/build/bundle-console.ts'),
    `import { bundleConsole as bundle } from ${JSON.stringify(join(ROOT, 'infra/build/bundle-console.ts'))}
let builds = 0
export const bundleConsole = (options) => (builds++ === 0 ? Promise.reject(new Error('syntax')) : bundle(options))
`,
  )
  const edited = bundledConsole(pathToFileURL(`${folder}/`))
  await expect(edited.table()).rejects.toThrow('syntax')
  expect(await edited.table()).toEqual(table)
})
