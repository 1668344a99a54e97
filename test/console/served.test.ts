import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { useServedApi } from '../client/client-world.ts'
import { useBrowser, usePage } from '../support/browser.ts'
import { useConsole } from '../support/console.ts'

const browser = await useBrowser()
const { bundle, files } = await useConsole()

const useServed = () => useServedApi({ console: files })

test('a browser that opens / shows the console, without an error or a policy violation', async () => {
  const { url } = await useServed()
  const { page, errors } = await usePage(browser)
  await page.goto(url)
  await page.locator('main').waitFor()
  expect(page.url()).toBe(`${url}/console/`)
  expect(errors).toEqual([])
})

test('the policy is in force: an inline script does not run', async () => {
  const { url } = await useServed()
  const { page, errors } = await usePage(browser)
  await page.goto(`${url}/console/`)
  await page.evaluate(`document.body.insertAdjacentHTML('beforeend', '<img src="x" onerror="globalThis.ran = true">')
    const script = document.createElement('script')
    script.textContent = 'globalThis.ran = true'
    document.body.append(script)`)
  await expect.poll(() => errors.some((error) => error.includes('script-src'))).toBe(true)
  expect(await page.evaluate('globalThis.ran')).toBeUndefined()
})

test('a second visit loads scripts and styles from the cache, and requests only the page', async () => {
  const { url } = await useServed()
  const { page } = await usePage(browser)
  await page.goto(`${url}/console/`)
  await page.locator('main').waitFor()
  const answers: [string, number, boolean][] = []
  const client = await page.context().newCDPSession(page)
  await client.send('Network.enable')
  client.on('Network.responseReceived', ({ response }) => {
    if (response.url.startsWith('http'))
      answers.push([new URL(response.url).pathname, response.status, response.fromDiskCache === true])
  })
  await page.goto('about:blank')
  await page.goto(`${url}/console/`)
  await page.locator('main').waitFor()
  const [first, ...others] = answers
  expect(first?.[0]).toBe('/console/')
  expect(others.length).toBeGreaterThan(0)
  expect(others.filter(([, , isCached]) => !isCached)).toEqual([])
})

test('each file is served in each encoding with the bytes of the build and its cache-control', async () => {
  const { url } = await useServed()
  const unpack = { br: brotliDecompressSync, gzip: gunzipSync, identity: (bytes: Uint8Array) => Buffer.from(bytes) }
  for (const [name, { type, encodings }] of Object.entries(bundle.table)) {
    for (const encoding of [...encodings, 'identity'] as const) {
      const response = await fetch(`${url}/console/${name}`, { headers: { 'accept-encoding': encoding } })
      const { headers } = response
      expect([name, response.status, headers.get('content-type')]).toEqual([name, 200, type])
      expect(headers.get('content-encoding') ?? 'identity').toBe(encoding)
      expect(headers.get('vary')).toBe('accept-encoding')
      expect(headers.get('cache-control')).toBe(
        name === 'index.html' ? 'no-cache' : 'public, max-age=31536000, immutable',
      )
      expect(Buffer.from(await response.arrayBuffer()).equals(bundle.files.get(name) ?? new Uint8Array())).toBe(true)
      const packed = { br: `${name}.br`, gzip: `${name}.gz`, identity: name }[encoding]
      const kept = bundle.files.get(packed) ?? new Uint8Array()
      expect(unpack[encoding](kept).equals(bundle.files.get(name) ?? new Uint8Array())).toBe(true)
    }
  }
})
