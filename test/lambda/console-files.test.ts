import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { brotliDecompressSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { createApi } from '../../src/api/index.ts'
import { handleUrl, readConsole } from '../../src/lambda/handle-url.ts'
import type { Reads } from '../../src/store/index.ts'
import { TOKEN } from '../api/api-world.ts'
import { useConsole } from '../support/console.ts'
import { useFolder } from '../support/relay.ts'

const { bundle, files } = await useConsole()

it('a missing folder means no console; once the folder exists, its table is read once', async () => {
  const folder = join(await useFolder(), 'console')
  const { table, read } = readConsole(pathToFileURL(`${folder}/`))
  expect(await table()).toEqual({})
  await mkdir(folder)
  await writeFile(join(folder, 'files.json'), '{"a.js":{"type":"text/javascript","encodings":["gzip"]}}')
  await writeFile(join(folder, 'a.js'), 'plain')
  await writeFile(join(folder, 'a.js.gz'), 'packed')
  expect(Object.keys(await table())).toEqual(['a.js'])
  await writeFile(join(folder, 'files.json'), '{}')
  expect(Object.keys(await table())).toEqual(['a.js'])
  expect([await read('a.js', undefined), await read('a.js', 'gzip')].map(String)).toEqual(['plain', 'packed'])
})

it('a table that cannot be read is an error, and not a console without files', async () => {
  const folder = await useFolder()
  await writeFile(join(folder, 'files.json'), '{')
  await expect(readConsole(pathToFileURL(`${folder}/`)).table()).rejects.toBeInstanceOf(SyntaxError)
})

it('a function URL serves compressed files byte for byte', async () => {
  const handler = handleUrl(createApi({ read: {} as Reads, token: TOKEN, console: files }))
  const ask = (name: string, method: string, headers: Record<string, string> = {}) =>
    handler({ rawPath: `/console/${name}`, headers, requestContext: { http: { method } } })
  const packed = Object.entries(bundle.table).filter(([, { encodings }]) => encodings.includes('br'))
  expect(packed.length).toBeGreaterThan(1)
  for (const [name] of packed) {
    const answer = await ask(name, 'GET', { 'accept-encoding': 'br' })
    expect([answer.statusCode, answer.headers['content-encoding']]).toEqual([200, 'br'])
    const bytes = Buffer.from(answer.body, answer.isBase64Encoded ? 'base64' : 'utf8')
    expect(bytes.equals(bundle.files.get(`${name}.br`) as Uint8Array)).toBe(true)
    expect(brotliDecompressSync(bytes).equals(bundle.files.get(name) as Uint8Array)).toBe(true)
  }
  expect(await ask('', 'HEAD')).toMatchObject({ statusCode: 200, body: '' })
  // `Request` does not allow this method.
  expect(await ask('', 'TRACE')).toMatchObject({ statusCode: 405 })
})
