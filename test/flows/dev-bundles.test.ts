import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { addressOf, FIGURES, get, processesOf, startDev } from '../support/dev.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { ROUTES, SECRETS } from '../support/routes.ts'

test('with --bundles, functions run in separate processes, and the next dev ends those that a SIGKILL left', async () => {
  const folder = await useFolder()
  const first = startDev(folder, ['--bundles', '--agents', '10', '--speed', '5'], { ...SECRETS, API_TOKEN: '' })
  await first.says(new RegExp(`^functions +dist/functions/ +${ROUTES.all.length}, each behind its queue$`, 'm'))
  const { origin, hash } = new URL(await addressOf(first, 'console'))
  const login = () =>
    fetch(`${origin}/console/login`, { method: 'POST', body: JSON.stringify({ code: hash.slice('#code='.length) }) })
  const { token } = (await (await login()).json()) as { token: string }
  // The code works only once, even if another process of the function answers.
  expect((await login()).status).toBe(401)
  await waitFor(
    async () => ((await get(first, '/agents', token)).body['items'] as unknown[]).length > 0,
    'agents at the API',
    30_000,
  )
  // The API's own artefact has the console, compressed.
  const page = await fetch(`${origin}/console/`, { headers: { 'accept-encoding': 'br' } })
  expect([page.status, page.headers.get('content-encoding')]).toEqual([200, 'br'])
  expect(await page.text()).toContain('src="main-')
  const { pid, children } = JSON.parse(await readFile(join(folder, 'dev.json'), 'utf8')) as {
    pid: number
    children: { pid: number }[]
  }
  // Two redis-servers, and some functions, most of them frozen now.
  expect(children.length).toBeGreaterThan(4)
  process.kill(pid, 'SIGKILL')
  await first.ended
  // The next run ends the processes of the previous one, with or without bundles. Packaging takes long, so it runs without.
  const second = startDev(folder, ['--no-simulator'])
  await second.says(FIGURES)
  expect((await processesOf(folder)).filter((one) => children.some((child) => child.pid === one))).toEqual([])
  expect(((await get(second, '/agents')).body['items'] as unknown[]).length).toBeGreaterThan(0)
  second.child.kill('SIGINT')
  expect((await second.ended).code).toBe(0)
  expect(await processesOf(folder)).toEqual([])
  expect(first.output().stdout + first.output().stderr).not.toMatch(/\b2782\d{7}\b|the-token-of-this-test/)
}, 90_000)

test('with --edge, SIGINT stops the street in order', async () => {
  const folder = await useFolder()
  const dev = startDev(folder, ['--edge', '--no-simulator'])
  await dev.says(FIGURES)
  dev.child.kill('SIGINT')
  const { code, stdout } = await dev.ended
  expect([code, stdout.trimEnd().endsWith('stopping …')]).toEqual([0, true])
  expect(await processesOf(folder)).toEqual([])
}, 60_000)
