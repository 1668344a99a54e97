import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { waitFor } from '../support/relay.ts'
import { useClone } from './clone.ts'
import { findOwnNode, LAUNCHER, start } from './run.ts'

const NPM_CI = 'npm ci --include=dev --include=optional --no-audit --no-fund --loglevel=error'

test('whatever Node starts it, tools run under Node 24 or later', async () => {
  const { code, stdout } = await start(findOwnNode(), [
    LAUNCHER,
    '--run',
    'node',
    '-p',
    'process.versions.node + " " + process.env.PATH',
  ]).ended
  expect(code).toBe(0)
  expect(Number.parseInt(stdout, 10)).toBeGreaterThanOrEqual(24)
  expect(stdout).toContain('node_modules/.bin')
})

test('whatever Node starts it, the CLI runs', async () => {
  expect(await start(findOwnNode(), [LAUNCHER, 'queues']).ended).toMatchObject({ code: 0, stderr: '' })
})

test('arguments and the exit code are passed on as they are', async () => {
  const program = 'console.log(JSON.stringify(process.argv.slice(1))); process.exit(7)'
  const { code, stdout } = await start(process.execPath, [
    LAUNCHER,
    '--run',
    'node',
    '-e',
    program,
    '--',
    'a b',
    '--redis',
    '',
  ]).ended
  expect({ code, stdout }).toEqual({ code: 7, stdout: '["a b","--redis",""]\n' })
})

test.each([
  [['--run'], 2, 'cli.launch.no_tool'],
  [['--run', 'no-such-tool'], 127, 'cli.launch.cannot_run'],
] as const)('%j ends with %d and one sentence', async (args, code, event) => {
  const ended = await start(process.execPath, [LAUNCHER, ...args]).ended
  expect(ended).toMatchObject({ code, stdout: '' })
  expect(ended.stderr.trim().split('\n')).toEqual([expect.stringContaining(`(${event})`)])
})

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s is passed on once, and the launcher waits for its child',
  async (signal) => {
    const program = `let n = 0; process.on('${signal}', () => { n++; setTimeout(() => { console.log('times', n); process.exit(5) }, 300) }); setInterval(() => {}, 1000); console.log('ready')`
    const { child, says, ended } = start(process.execPath, [LAUNCHER, '--run', 'node', '-e', program])
    await says('ready')
    child.kill(signal)
    child.kill(signal)
    expect(await ended).toMatchObject({ code: 5, stdout: 'ready\ntimes 1\n' })
  },
)

test('a child that a signal ends gives the exit code that a shell would give', async () => {
  const { code } = await start(process.execPath, [
    LAUNCHER,
    '--run',
    'node',
    '-e',
    'process.kill(process.pid, "SIGKILL")',
  ]).ended
  expect(code).toBe(137)
})

test('under npm, the child ends when SIGTERM ends the shell between npm and the launcher', async () => {
  const program = `process.on('SIGTERM', () => { console.log('told'); process.exit(0) }); setInterval(() => {}, 1000); console.log('ready')`
  // Like the shell of npx, this shell waits, and ends without a signal to its children.
  const shell = start(
    '/bin/sh',
    ['-c', '"$0" "$@"; exit', process.execPath, LAUNCHER, '--run', 'node', '-e', program],
    { env: { npm_command: 'exec' } },
  )
  await shell.says('ready')
  shell.child.kill('SIGTERM')
  await waitFor(() => shell.output().stdout.includes('told'), 'the child to be told')
})

test('a clone without node_modules runs npm ci and prints one line', async () => {
  const clone = await useClone()
  const { code, stdout, stderr } = await clone.launch(['relay', '--help']).ended
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'the CLI has relay --help\n' })
  expect(stderr.trim().split('\n')).toEqual([expect.stringContaining('npm ci')])
  expect(await clone.calls()).toEqual([NPM_CI])
})

test('dependencies are installed again only if the lock file has changed or its copy is missing', async () => {
  const clone = await useClone()
  await clone.launch([]).ended
  expect((await clone.launch([]).ended).stderr).toBe('')
  expect(await clone.calls()).toHaveLength(1)
  await clone.lock('1.0.1')
  await clone.launch([]).ended
  expect(await clone.calls()).toHaveLength(2)
  await rm(join(clone.folder, 'node_modules/.package-lock.json'))
  await clone.launch([]).ended
  expect(await clone.calls()).toHaveLength(3)
})

test('if npm fails, its output is shown and the CLI is not run', async () => {
  const clone = await useClone()
  const { code, stdout, stderr } = await clone.launch(['relay'], { NPM_FAILS: '1' }).ended
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain('(cli.launch.install_failed)')
  expect(stderr).toContain('E404 nothing there')
  expect((await clone.launch(['relay']).ended).stdout).toBe('the CLI has relay\n')
})

test('two launchers at once install once', async () => {
  const clone = await useClone()
  const both = await Promise.all([clone.launch(['one']).ended, clone.launch(['two']).ended])
  expect(both.map(({ stdout }) => stdout)).toEqual(['the CLI has one\n', 'the CLI has two\n'])
  expect(await clone.calls()).toEqual([NPM_CI])
})

test('the lock of a launcher that was killed is taken over', async () => {
  const clone = await useClone()
  await clone.leaveInstallLock(60_000)
  expect((await clone.launch(['relay']).ended).code).toBe(0)
})

test('a launcher waits for the one that installs', async () => {
  const clone = await useClone()
  await clone.leaveInstallLock(0)
  const launched = clone.launch(['relay'])
  await launched.says('waiting for')
  expect(await clone.calls()).toEqual([])
  await rm(join(clone.folder, '.enigma/install.lock'))
  expect((await launched.ended).code).toBe(0)
})
