import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { bundleRelay } from '../../infra/build/bundle.ts'
import { formatPacket } from '../../src/protocol/index.ts'
import { ROOT } from '../cli/run.ts'
import { useRedisClient, useRedisServer } from '../support/redis.ts'
import { relayEnv, useFolder, waitFor } from '../support/relay.ts'
import { useReservedPort } from '../support/reserved-port.ts'
import { useSqsFaults } from '../support/sqs-faults.ts'
import { ROUTES } from '../support/routes.ts'

const run = promisify(execFile)
/** Returns the version that a program prints, or undefined if this machine does not have it. */
const versionOf = (program: string): Promise<string | undefined> =>
  run(program, ['--version']).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  )

/** Reads the instructions of the Dockerfile, each with its arguments. */
async function readDockerfile(): Promise<Map<string, string>> {
  const text = (await readFile(join(ROOT, 'infra/relay/Dockerfile'), 'utf8'))
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll('\\\n', ' ')
  return new Map([...text.matchAll(/^([A-Z]+) +(.*)$/gm)].map(([, name = '', words = '']) => [name, words.trim()]))
}

const folder = await mkdtemp(join(tmpdir(), 'enigma-one-'))
const [app, data, file] = [join(folder, 'app'), join(folder, 'data'), join(folder, 'app/enigma-relay.mjs')]
/** The user `nobody`, if the tests may change the user. */
const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
const docker = await readDockerfile()
/** A copy of this Node, because other users may have no access to the folder of the clone. */
const node = join(folder, 'node')

beforeAll(async () => {
  await mkdir(app)
  await bundleRelay(ROUTES.all, file)
  await rm(`${file}.map`)
  await chmod(folder, 0o755)
  await copyFile(process.execPath, node)
  await chmod(node, 0o755)
  await mkdir(data, { mode: 0o700 })
  if (user.uid !== undefined) await chown(data, user.uid, user.gid)
  // The root file system is read-only but for the volume.
  await chmod(file, 0o555)
  await chmod(app, 0o555)
})
afterAll(async () => {
  await chmod(app, 0o755)
  await rm(folder, { recursive: true, force: true })
})

const CLEAN = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' }
/** The arguments of an instruction, with the paths of the image replaced by paths on this machine. */
const wordsOf = (instruction: string) =>
  (JSON.parse((docker.get(instruction) ?? '').replace(/^.*?CMD /, '')) as string[]).map((word) =>
    word === 'node' ? node : word.replace('/app/', `${app}/`),
  )

// If a source contains one other character, V8 keeps it at two bytes per character.
test('the file is ASCII', async () => {
  expect((await readFile(file)).findIndex((byte) => byte > 0x7f)).toBe(-1)
})

test('the single file prints its version and has every command', async () => {
  const one = (...args: string[]) => run(node, [file, ...args], { cwd: data, env: CLEAN, ...user })
  expect((await one('--version')).stdout).toMatch(/^enigma-relay \d+\.\d+\.\d+ \(single file\)\n$/)
  const { stdout } = await one('--help')
  for (const command of ['relay', 'doctor', 'queues', 'parked', 'simulate', 'dev'])
    expect(stdout).toMatch(new RegExp(`^ +${command}\\b`, 'm'))
  await expect(one('dev')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('(cli.dev.no_clone)') as string,
  })
  await expect(one('relay')).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('AWS_REGION') as string })
})

/** The system's Node versions that are too old for the relay. */
const oldNodes: { readonly path: string; readonly version: string }[] = []
for (const path of ['/usr/bin/node', '/usr/local/bin/node']) {
  const version = await versionOf(path)
  if (version !== undefined && Number(version.slice(1).split('.')[0]) < 24) oldNodes.push({ path, version })
}

test.skipIf(oldNodes.length === 0)('under an old Node, the error names the required version', async () => {
  for (const { path, version } of oldNodes)
    await expect(run(path, [file, '--version'])).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`needs Node 24 or newer; this is ${version}`) as string,
    })
})

test('run as in the image, with only its volume writable, the relay becomes healthy, forwards, and exits with 0 on SIGTERM', async () => {
  const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
  const client = await useRedisClient(redis.url)
  expect(docker.get('USER')).toBe('node')
  expect(docker.get('VOLUME')).toBe('/data')
  const port = await useReservedPort()
  const env = {
    ...CLEAN,
    ...relayEnv({ redisUrl: redis.url, endpoint: sqs.endpoint, lists: ['enigma:notifications:campaigns'] }, data),
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    ...Object.fromEntries((docker.get('ENV') ?? '').split(' ').map((pair) => pair.split('=') as [string, string])),
    ENIGMA_DATA_DIR: data,
    ENIGMA_HTTP: `127.0.0.1:${port}`,
  }
  const [command = '', ...args] = [...wordsOf('ENTRYPOINT'), ...wordsOf('CMD')]
  const child = spawn(command, args, { cwd: data, env, stdio: ['ignore', 'pipe', 'pipe'], ...user })
  onTestFinished(() => void child.kill('SIGKILL'))
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  child.stdout.resume()
  const isHealthy = async () => {
    const [program = '', ...rest] = wordsOf('HEALTHCHECK')
    return run(program, rest, { env: { ...CLEAN, ENIGMA_HTTP: env.ENIGMA_HTTP } }).then(
      () => true,
      () => false,
    )
  }
  await waitFor(async () => child.exitCode !== null || (await isHealthy()), 'it to be healthy', 30_000)
  expect({ code: child.exitCode, errors }).toEqual({ code: null, errors: '' })
  await waitFor(async () => (await fetch(`http://${env.ENIGMA_HTTP}/readyz`)).ok, 'it to be ready')
  await client.publish(
    'enigma:notifications:agents:1002',
    formatPacket({ type: 'status', payload: { status: 'busy' } }),
  )
  await client.lPush(
    'enigma:notifications:campaigns',
    formatPacket({ type: 'cdr', payload: { call_ref: '1', dialed_at: 1 } }),
  )
  await waitFor(() => sqs.accepted.length === 2, 'both to be forwarded')
  child.kill('SIGTERM')
  expect((await once(child, 'exit'))[0]).toBe(0)
  expect(errors).toBe('')
  expect(await isHealthy()).toBe(false)
}, 60_000)

test.each([
  [
    'a credentials file, as in the systemd service',
    (path: string) => ({ AWS_SHARED_CREDENTIALS_FILE: path }),
    '[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = x\n',
    'AKIDFILE',
  ],
  [
    'a credential process, as with IAM Roles Anywhere',
    (path: string) => ({ AWS_CONFIG_FILE: path }),
    `[default]\ncredential_process = /bin/echo '{"Version":1,"AccessKeyId":"AKIDPROCESS","SecretAccessKey":"x","SessionToken":"t","Expiration":"2099-01-01T00:00:00Z"}'\n`,
    'AKIDPROCESS',
  ],
])(
  'the relay takes its credentials from %s',
  async (_, variables, text, accessKey) => {
    const [redis, sqs] = [await useRedisServer(), await useSqsFaults()]
    const own = await useFolder()
    const credentials = join(own, 'aws')
    await writeFile(credentials, text)
    const env = {
      ...CLEAN,
      AWS_EC2_METADATA_DISABLED: 'true',
      ...relayEnv({ redisUrl: redis.url, endpoint: sqs.endpoint }, own),
      ...variables(credentials),
    }
    const child = spawn(process.execPath, [file, 'relay'], { cwd: own, env, stdio: 'ignore' })
    onTestFinished(() => void child.kill('SIGKILL'))
    await waitFor(() => sqs.signsOfLife.length > 0, 'a sign of life', 15_000)
    expect(sqs.signsOfLife[0]?.accessKey).toBe(accessKey)
    child.kill('SIGTERM')
    expect((await once(child, 'exit'))[0]).toBe(0)
  },
  30_000,
)

const SERVICE = await readFile(join(ROOT, 'infra/relay/enigma-relay.service'), 'utf8')

test('the service restarts, gets its credentials from systemd, and has few rights', () => {
  for (const line of [
    'Restart=always',
    'LoadCredential=aws:',
    'DynamicUser=yes',
    'ProtectSystem=strict',
    'NoNewPrivileges=yes',
    'StateDirectory=enigma-relay',
  ])
    expect(SERVICE).toContain(line)
})

// Needs `apt-get install systemd`.
test.skipIf((await versionOf('systemd-analyze')) === undefined)('the service passes the check of systemd', async () => {
  const unit = join(folder, 'enigma-relay.service')
  // The check looks whether the program is there.
  await writeFile(unit, SERVICE.replace('ExecStart=/usr/bin/node', `ExecStart=${process.execPath}`))
  const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', unit])
  expect(`${stdout}${stderr}`.split('\n').filter((line) => line.includes('enigma-relay'))).toEqual([])
})
