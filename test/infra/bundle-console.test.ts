import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { bundleConsole, formatConsoleReport, MAX_FIRST_BYTES, writeConsole } from '../../infra/build/bundle-console.ts'
import { useFolder } from '../support/relay.ts'

const PAGE = `<!doctype html><html><head><link rel="stylesheet" href="console.css" /></head>
<body><script type="module" src="main.tsx"></script></body></html>`

/** A console of these files. */
async function useSource(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await useFolder()
  for (const [name, text] of Object.entries({ 'index.html': PAGE, 'console.css': 'p { color: red }', ...files }))
    await writeFile(join(folder, name), text)
  return folder
}

test('the console build is reproducible, has compressed copies of its files, and its first load is within the limit', async () => {
  const [first, second] = [await bundleConsole(), await bundleConsole()]
  expect([...second.files]).toEqual([...first.files])
  for (const [name, { encodings }] of Object.entries(first.table)) {
    const plain = Buffer.from(first.files.get(name) as Uint8Array)
    if (encodings.includes('br'))
      expect(brotliDecompressSync(first.files.get(`${name}.br`) as Uint8Array).equals(plain)).toBe(true)
    if (encodings.includes('gzip'))
      expect(gunzipSync(first.files.get(`${name}.gz`) as Uint8Array).equals(plain)).toBe(true)
    if (name !== 'index.html') expect(name).toMatch(/^[\w.-]+-[A-Z0-9]{8}\.(js|css)$/)
  }
  const size = first.sizes
    .filter(({ isFirst }) => isFirst)
    .reduce((sum, { name }) => sum + gzipSync(first.files.get(name) as Uint8Array).length, 0)
  expect(size).toBeLessThanOrEqual(MAX_FIRST_BYTES)
  const folder = await useFolder()
  await writeConsole(first, folder)
  expect(JSON.parse(await readFile(join(folder, 'files.json'), 'utf8'))).toEqual(first.table)
})

test('the page has no inline script or style, which the content security policy would block', async () => {
  const { files, table } = await bundleConsole({ isForDelivery: false })
  const page = new TextDecoder().decode(files.get('index.html'))
  expect(page).not.toMatch(/<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)/)
  for (const [, name = ''] of page.matchAll(/(?:src|href)="([^":,]+)"/g)) expect(Object.keys(table)).toContain(name)
})

test('a dynamic import is loaded late, and a chunk that it shares with the page is preloaded', async () => {
  const source = await useSource({
    'main.tsx': "import './console.css'\nimport { shared } from './shared.ts'\nshared()\nvoid import('./chart.ts')",
    'shared.ts': 'export const shared = () => console.log("shared")',
    'chart.ts': "import { shared } from './shared.ts'\nshared()\nconsole.log('a chart')",
  })
  const { files, sizes } = await bundleConsole({ source })
  const kinds = sizes.map(({ name, isFirst }) => `${name.replace(/-[A-Z0-9]{8}/, '')} ${isFirst ? 'first' : 'late'}`)
  expect(kinds.toSorted()).toEqual([
    'chart.js late',
    'chunk.js first',
    'index.html first',
    'main.css first',
    'main.js first',
  ])
  expect(new TextDecoder().decode(files.get('index.html'))).toMatch(
    /<link rel="modulepreload" href="chunk-[A-Z0-9]{8}\.js" \/><\/head>/,
  )
})

test('the build fails for an oversized first load, styles that are never loaded, and a page without its script', async () => {
  const main = "import './console.css'\nconsole.log('a page')"
  const large = await useSource({ 'main.tsx': main })
  await expect(bundleConsole({ source: large, maxFirstBytes: 100 })).rejects.toMatchObject({
    code: 'deploy.console.too_large',
    message: expect.stringMatching(
      /first load .* has \d{3} bytes gzipped, more than the limit of 100\..*\nconsole /s,
    ) as string,
  })
  const stray = await useSource({
    'main.tsx': `${main}\nvoid import('./chart.ts')`,
    'chart.ts': "import './chart.css'",
    'chart.css': 'p { margin: 0 }',
  })
  await expect(bundleConsole({ source: stray })).rejects.toMatchObject({ code: 'deploy.console.invalid' })
  const odd = await useSource({ 'main.tsx': main, 'index.html': '<html><head></head></html>' })
  await expect(bundleConsole({ source: odd })).rejects.toMatchObject({
    code: 'deploy.console.invalid',
    message: expect.stringContaining('src="main.tsx"') as string,
  })
})

test('the report has a line for each file, and what the first load comes to', async () => {
  const lines = formatConsoleReport(await bundleConsole()).split('\n')
  expect(lines[0]).toMatch(/^console +kB +gzipped {2}loaded$/)
  for (const line of lines.slice(1, -1))
    expect(line).toMatch(/^\S+ +\d+\.\d +\d+\.\d {2}(first load|when it is needed)$/)
  expect(lines.at(-1)).toMatch(/^together +\d+\.\d {2}first load, at most 100\.0$/)
})
