import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import type { Part } from '../../src/local/street/parts.ts'
import { startStreet, type StreetOptions } from '../../src/local/street/street.ts'
import { appFile } from '../../src/lambda/declarations.ts'
import { createLog } from '../../src/runtime/index.ts'
import { useRedisClient } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { ROUTES } from '../support/routes.ts'

/** A street on free ports, stopped when the test ends. Real functions read `process.env`, so only one test per file can run them. */
async function useStreet(options: Partial<StreetOptions> = {}) {
  const parts: Part[] = []
  const lines: string[] = []
  const street = await startStreet({
    env: process.env,
    folder: await useFolder(),
    diallerPort: 0,
    log: createLog('warn', { write: (line) => void lines.push(line) }),
    onPart: (part) => void parts.push(part),
    ...options,
  })
  // One that has failed has told why.
  onTestFinished(() => street.stop().catch(() => undefined))
  const get = async (path: string) => {
    const response = await fetch(street.api.url + path, { headers: { authorization: `Bearer ${street.api.token}` } })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  return { street, parts, lines, get }
}

/** Functions that do nothing; `broken` cannot be loaded. */
async function useFunctions(broken?: string): Promise<URL> {
  const folder = await useFolder()
  const files = [...ROUTES.all.map(appFile), 'functions/api.ts']
  for (const file of files) {
    await mkdir(join(folder, file, '..'), { recursive: true })
    const route = ROUTES.all.find((one) => appFile(one) === file)
    await writeFile(
      join(folder, file),
      file === broken
        ? 'throw new Error("broken")'
        : `export const app = { fetch: () => new Response('[]') }\nexport const route = { ...${JSON.stringify(route ?? {})}, payload: { '~standard': {} } }`,
    )
  }
  return pathToFileURL(`${folder}/`)
}

const FREE = { ENIGMA_API: '127.0.0.1:0', ENIGMA_HTTP: '127.0.0.1:0' }

test('packets that are published and pushed to the dialler’s Redis can be read from the API', async () => {
  Object.assign(process.env, FREE)
  const { street, parts, lines, get } = await useStreet()
  expect(parts.map(({ name }) => name)).toEqual([
    "dialler's Redis",
    'SQS',
    'read model',
    'functions',
    'read API',
    'relay',
    'call centre',
  ])
  const dialler = await useRedisClient(street.diallerUrl as string)
  await dialler.publish(
    'enigma:notifications:agents:1002',
    '{"type":"status","payload":{"ref":"1002","status":"available","campaign_ref":"c1"}}',
  )
  const dialedAt = Math.floor(Date.now() / 1_000)
  await dialler.lPush(
    'enigma:notifications:campaigns',
    `{"type":"cdr","payload":{"ref":"c1","call_ref":9007199254740993,"dialed_at":${dialedAt},"end_reason":"timeout","number":"27821234567"}}`,
  )
  await waitFor(async () => (await get('/agents/1002')).status === 200, 'the agent')
  await waitFor(
    async () => ((await get('/cdrs?number=27821234567')).body['items'] as unknown[]).length === 1,
    'the CDR',
  )
  expect((await get('/agents/1002')).body).toMatchObject({ states: [{ status: 'available', campaign_ref: 'c1' }] })
  expect((await get('/cdrs?number=27821234567')).body).toMatchObject({ items: [{ call_ref: '9007199254740993' }] })

  const counted = async () =>
    (await street.readFigures()).routes
      .filter(({ received, handled }) => received === 1 && handled === 1)
      .map(({ name }) => name)
  await waitFor(async () => (await counted()).length === 2, 'both to be counted')
  expect(await counted()).toEqual(['agents-status', 'campaigns-cdr'])
  expect(await street.readFigures()).toMatchObject({ backlog: 0, parked: 0, gaps: 0 })

  await street.stop()
  await expect(street.ended).resolves.toBeUndefined()
  await expect(fetch(street.api.url)).rejects.toThrow()
  expect(lines).toEqual([])
})

test.each(['functions/agents/status.ts', 'functions/other.ts', 'functions/api.ts'])(
  'the error names a function that cannot be loaded (%s), and the folder is released',
  async (file) => {
    const folder = await useFolder()
    const started = useStreet({ env: { ...FREE }, folder, root: await useFunctions(file) })
    await expect(started).rejects.toMatchObject({
      code: 'dev.functions.invalid',
      message: expect.stringContaining(file) as unknown,
    })
    // Released: it can be started again, and the record of its processes is gone.
    expect(await readdir(folder)).not.toContain('dev.json')
  },
)

test('the street ends with the error of a part that fails while it runs', async () => {
  const { street } = await useStreet({
    env: { ...FREE },
    root: await useFunctions(),
    callCentre: { agents: 0, speed: 1, seed: 1 },
  })
  await expect(street.ended).rejects.toMatchObject({ code: 'dev.simulator.invalid' })
  // stop rejects with the same error.
  await expect(street.stop()).rejects.toMatchObject({ code: 'dev.simulator.invalid' })
}, 15_000)

test('two streets never share a folder', async () => {
  const folder = await useFolder()
  await useStreet({ env: { ...FREE }, folder, root: await useFunctions() })
  await expect(useStreet({ env: { ...FREE }, folder, root: await useFunctions() })).rejects.toMatchObject({
    code: 'dev.street.already_running',
  })
})

test('a street with a real dialler starts no Redis for it and no call centre', async () => {
  const env = { ...FREE, ENIGMA_SOURCES: 'real=redis://user:secret@127.0.0.1:9' }
  const { street, parts } = await useStreet({
    env,
    root: await useFunctions(),
    callCentre: { agents: 1, speed: 1, seed: 1 },
  })
  expect(street.diallerUrl).toBeUndefined()
  expect(parts[0]).toEqual({
    name: "dialler's Redis",
    address: 'real=redis://127.0.0.1:9',
    note: 'from ENIGMA_SOURCES',
  })
  expect(parts.at(-1)).toEqual({ name: 'call centre', address: 'none', note: 'ENIGMA_SOURCES names a real dialler' })
})
