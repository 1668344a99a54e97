import { build } from 'esbuild'
import { readFile } from 'node:fs/promises'
import { createContext, runInContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { cdr } from 'enigma-relay/store'
import { expect, it } from 'vitest'
import { ROOT, start } from '../cli/run.ts'
import { notice, TOKEN } from '../api/api-world.ts'
import type * as Library from '../../src/client/index.ts'
import { useServedApi } from './client-world.ts'

const bundle = async () => {
  const { metafile, outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/client/index.ts'],
    bundle: true,
    minify: true,
    format: 'iife',
    globalName: 'library',
    platform: 'browser',
    target: 'es2022',
    write: false,
    metafile: true,
  })
  return { metafile, text: outputFiles[0]?.text ?? '' }
}

it('the browser bundle contains only the client: no package, no Node API, no schema', async () => {
  const { metafile, text } = await bundle()
  expect(Object.keys(metafile.inputs).filter((file) => !file.startsWith('src/client/'))).toEqual([])
  expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([])
  expect(text).not.toMatch(/node:|\brequire\b|valibot|\bprocess\b|\bBuffer\b/)
  const sizes = { bytes: text.length, gzipped: gzipSync(text).length }
  console.info(`enigma-relay/client: ${sizes.bytes} bytes, ${sizes.gzipped} gzipped`)
  expect(sizes.bytes).toBeLessThan(16_000)
})

/** The globals that the client may use: every browser and every edge runtime has them. */
const WEB = { fetch, AbortController, Headers, URLSearchParams, TextDecoder, setTimeout, clearTimeout }

it('the bundle runs with web APIs only', async () => {
  const { url, change } = await useServedApi({ events: { pollMs: 5 } })
  const { text } = await bundle()
  const { createClient, ApiProblem } = runInContext(`${text};library`, createContext({ ...WEB })) as typeof Library
  const client = createClient({ url: `${url}/`, token: TOKEN })
  expect((await client.wall()).agents).toEqual([])
  await expect(client.agent('none')).rejects.toBeInstanceOf(ApiProblem)
  for await (const { changes, reset } of client.changes()) {
    if (reset) await change('1002')
    if (changes.length === 0) continue
    expect(changes).toMatchObject([{ ref: '1002' }])
    break
  }
})

it('the example in docs/read-api.md runs unchanged', async () => {
  const example = 'test/client/read-api-example.ts'
  const text = await readFile(`${ROOT}${example}`, 'utf8')
  expect(await readFile(`${ROOT}docs/read-api.md`, 'utf8')).toContain(`\`\`\`ts\n${text}\`\`\`\n`)
  const { url, change, commit } = await useServedApi({ events: { pollMs: 5 } })
  await change('1001')
  const dialedAt = Math.floor(Date.now() / 1000) - 60
  const call = { ref: '7', call_ref: '1', dialed_at: dialedAt, end_reason: 'voicemail' }
  await commit(cdr(notice(call, { transport: 'list' })))
  const flags = ['--conditions=source', '--disable-warning=ExperimentalWarning']
  const { says } = start(process.execPath, [...flags, example], { env: { API: url, API_TOKEN: TOKEN } })
  await says('agents by status: { busy: 1 }')
  await says(/Z voicemail\n/)
  await says('nothing was heard of agent 1002 yet')
  await says('agents: 1')
  await change('1002')
  await says('1002 busy')
})
