import { exec } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { addressOf, FIGURES, get, processesOf, startDev } from '../support/dev.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { useFolder, waitFor } from '../support/relay.ts'

const LIST = 'enigma:notifications:campaigns'

const OPERATOR = 'the-operator-of-this-test-of-32-characters'

const NPM = ['npm', 'run', 'dev', '--']

test('npm run dev prints addresses and throughput and serves the API, and SIGINT leaves no process', async () => {
  const folder = await useFolder()
  const dev = startDev(folder, ['--agents', '20', '--speed', '5'], {}, NPM)
  for (const part of ["dialler's Redis", 'SQS', 'read model', 'read API', 'relay'])
    expect(await addressOf(dev, part)).toMatch(/^(http|redis):\/\/127\.0\.0\.1:\d+$/)
  await dev.says(/^call centre +simulated +20 agents, 5 times real time, seed 1$/m)
  // The console is the first part. The user's token is never printed.
  expect(dev.output().stdout).toMatch(
    /^console +http:\/\/127\.0\.0\.1:\d+\/console\/ +asks for the token in API_TOKEN\ndialler's Redis /m,
  )
  await dev.says(FIGURES)
  await waitFor(async () => ((await get(dev, '/agents')).body['items'] as unknown[]).length > 0, 'agents at the API')
  expect((await processesOf(folder)).length).toBeGreaterThanOrEqual(5)
  dev.child.kill('SIGINT')
  expect((await dev.ended).code).toBe(0)
  expect(await processesOf(folder)).toEqual([])
  // Neither numbers nor the user's token may be printed.
  expect(dev.output().stdout + dev.output().stderr).not.toMatch(/\b2782\d{7}\b|the-token-of-this-test/)
}, 30_000)

test('without the simulator, dev waits for a dialler, and its data survives a restart', async () => {
  const folder = await useFolder()
  const first = startDev(folder, ['--no-simulator', '--verbose'])
  const dialler = await useRedisClient(await addressOf(first, "dialler's Redis"))
  await first.says(/^call centre +none/m)
  // The printed commands can be pasted: they have the ports that are in use.
  const tried = /^try: (redis-cli .*)\n +curl -H "Authorization: Bearer \$API_TOKEN" (\S+)$/m
  await first.says(tried)
  const [, publish = '', url] = tried.exec(first.output().stdout) ?? []
  expect(url).toBe(`${await addressOf(first, 'read API')}/agents/1002`)
  await promisify(exec)(publish)
  await dialler.lPush(
    LIST,
    `{"type":"cdr","payload":{"ref":"c1","call_ref":17,"dialed_at":${Math.floor(Date.now() / 1_000)},"end_reason":"timeout","number":"27821234567"}}`,
  )
  await waitFor(async () => (await get(first, '/agents/1002')).status === 200, 'the agent')
  await waitFor(async () => ((await get(first, '/cdrs')).body['items'] as unknown[]).length === 1, 'the CDR')
  await first.says(/campaigns\/cdr +\{.*"number":"27\*+67".*\} +done after/)
  first.child.kill('SIGTERM')
  expect((await first.ended).code).toBe(0)
  expect(await processesOf(folder)).toEqual([])
  expect(first.output().stdout).not.toContain('27821234567')

  const second = startDev(folder, ['--no-simulator'])
  expect((await get(second, '/agents/1002')).body).toMatchObject({
    states: [{ status: 'available', campaign_ref: '12' }],
  })
  expect((await get(second, '/cdrs')).body['items']).toHaveLength(1)
  second.child.kill('SIGINT')
  expect((await second.ended).code).toBe(0)
}, 30_000)

test('--fail makes handlers fail, whose notifications can be replayed, and rejects an unknown route; --demo prints the steps', async () => {
  const wrong = startDev(await useFolder(), ['--no-simulator', '--fail', 'agents-statu=422'])
  expect((await wrong.ended).code).toBe(2)
  expect(wrong.output().stderr).toMatch(
    /no route agents-statu; write one of .*agents-status.*dev\.fail\.unknown_route/s,
  )
  const malformed = startDev(await useFolder(), ['--fail', 'agents-status=200'])
  expect((await malformed.ended).code).not.toBe(0)
  expect(malformed.output().stderr).toMatch(/campaigns-cdr=422:5%:60/)

  const folder = await useFolder()
  const dev = startDev(folder, ['--no-simulator', '--demo', '--fail', 'agents-status=409:100%'], {
    API_TOKENS: `jane:operate:${OPERATOR}`,
  })
  const dialler = await useRedisClient(await addressOf(dev, "dialler's Redis"))
  await dev.says(
    /^ +1\. .* fails for a minute\..* Parked.*\n +2\. .* Replay, and confirm\.\n +3\. .* Replays.*\n(?! +4)/m,
  )
  await dialler.publish(
    'enigma:notifications:agents:1002',
    '{"type":"status","payload":{"ref":"1002","status":"busy"}}',
  )
  const groupsOf = async () => (await get(dev, '/parked/groups')).body['groups']
  await waitFor(async () => ((await groupsOf()) as unknown[]).length === 1, 'the status to be parked')
  expect(await groupsOf()).toMatchObject([
    { route: 'agents-status', status: 409, cause: expect.stringContaining('fails on purpose') as string },
  ])
  const replay = await fetch(`${await addressOf(dev, 'read API')}/replays`, {
    method: 'POST',
    headers: { authorization: `Bearer ${OPERATOR}`, 'content-type': 'application/json' },
    body: JSON.stringify({ filter: { route: 'agents-status' } }),
  })
  const { id } = (await replay.json()) as { id: string }
  const countsOf = async () => (await get(dev, `/replays/${id}`)).body['counts'] as { failed_again?: number }
  await waitFor(async () => (await countsOf()).failed_again === 1, 'the status to be handled again, and to fail again')
  dev.child.kill('SIGINT')
  expect((await dev.ended).code).toBe(0)
}, 30_000)

test('without API_TOKEN, the console opens with a one-time code, exchanged for a token with the role operate', async () => {
  const dev = startDev(await useFolder(), ['--no-simulator', '--verbose'], { API_TOKEN: '', ENIGMA_LOG_LEVEL: 'trace' })
  await dev.says(/^console +\S+ +the code works once, for ten minutes\ndialler's Redis /m)
  const { origin, pathname, hash } = new URL(await addressOf(dev, 'console'))
  const [, code = ''] = /^#code=([0-9a-f]{32})$/.exec(hash) ?? []
  expect([origin, pathname, code.length]).toEqual([await addressOf(dev, 'read API'), '/console/', 32])
  const page = await fetch(`${origin}/`)
  expect([page.url, page.status]).toEqual([`${origin}/console/`, 200])
  const [, script = ''] = /src="(main-\w+\.js)"/.exec(await page.text()) ?? []
  expect((await fetch(`${origin}/console/${script}`)).headers.get('content-type')).toMatch(/^text\/javascript/)
  const login = (given: string, headers: Record<string, string> = {}) =>
    fetch(`${origin}/console/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ code: given }),
    })
  expect((await login('0'.repeat(32))).status).toBe(401)
  expect((await login(code, { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
  const { token } = (await (await login(code)).json()) as { token: string }
  expect((await login(code)).status).toBe(401)
  const config = await fetch(`${origin}/config`, { headers: { authorization: `Bearer ${token}` } })
  expect(await config.json()).toMatchObject({ name: 'dev', role: 'operate' })
  dev.child.kill('SIGINT')
  const { code: exitCode, stdout, stderr } = await dev.ended
  expect(exitCode).toBe(0)
  // The code is printed once, in the address of the console.
  expect((stdout + stderr).split(code)).toHaveLength(2)
}, 30_000)

test('with a real dialler, dev subscribes to Pub/Sub and takes from no list that is not configured', async () => {
  const folder = await useFolder()
  const redis = await useRedisServer()
  const dialler = await useRedisClient(redis.url)
  await dialler.lPush(LIST, '{"type":"cdr","payload":{"call_ref":1}}')
  const dev = startDev(folder, [], { ENIGMA_SOURCES: `real=${redis.url}` })
  await dev.says(/^call centre +none +ENIGMA_SOURCES names a real dialler$/m)
  await dialler.publish(
    'enigma:notifications:agents:1002',
    '{"type":"status","payload":{"ref":"1002","status":"available"}}',
  )
  await waitFor(async () => (await get(dev, '/agents/1002')).status === 200, 'the agent')
  expect(await dialler.lLen(LIST)).toBe(1)
  // The redis-server of the read model, and none for a dialler.
  const named = await Promise.all(
    (await processesOf(folder)).map((pid) => readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')),
  )
  expect(named.filter((name) => name.startsWith('redis-server'))).toHaveLength(1)
  dev.child.kill('SIGINT')
  expect((await dev.ended).code).toBe(0)
}, 30_000)

test('when port 8001 is in use, dev reports it and uses another port', async () => {
  const server = createServer()
  // This server uses the port, or another process already does.
  await new Promise<void>((resolve) => server.once('error', () => resolve()).listen(8001, '127.0.0.1', resolve))
  onTestFinished(() => new Promise((resolve) => void server.close(() => resolve())))
  const taken = (server.address() as AddressInfo | null)?.port ?? 8001
  const dev = startDev(await useFolder(), ['--no-simulator'], {
    ENIGMA_API: `127.0.0.1:${taken}`,
    ENIGMA_HTTP: `127.0.0.1:${taken}`,
  })
  expect(await addressOf(dev, "dialler's Redis")).not.toContain(':8001')
  await dev.says(/^dialler's Redis .*\b8001\b/m)
  for (const part of ['read API', 'relay'])
    await dev.says(new RegExp(`^${part} .*port ${taken} is already in use$`, 'm'))
  await dev.says(FIGURES)
  dev.child.kill('SIGINT')
  expect((await dev.ended).code).toBe(0)
}, 30_000)

test('a second dev on the same folder is refused; after a SIGKILL, the next one ends leftover processes and keeps the data', async () => {
  const folder = await useFolder()
  const first = startDev(folder, ['--no-simulator'])
  await first.says(FIGURES)
  const second = await startDev(folder, ['--no-simulator']).ended
  expect(second.code).toBe(1)
  expect(second.stderr).toContain('(dev.street.already_running)')

  const dialler = await useRedisClient(await addressOf(first, "dialler's Redis"))
  await dialler.set('kept', '1')
  const { pid, children } = JSON.parse(await readFile(join(folder, 'dev.json'), 'utf8')) as {
    pid: number
    children: { pid: number }[]
  }
  process.kill(pid, 'SIGKILL')
  await first.ended
  const third = startDev(folder, ['--no-simulator'])
  const again = await useRedisClient(await addressOf(third, "dialler's Redis"))
  expect(await again.get('kept')).toBe('1')
  expect((await processesOf(folder)).filter((one) => children.some((child) => child.pid === one))).toEqual([])
  await third.says(FIGURES)
  third.child.kill('SIGINT')
  expect((await third.ended).code).toBe(0)
}, 40_000)
