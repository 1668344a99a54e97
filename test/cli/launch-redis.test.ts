import { expect, test } from 'vitest'
import { useClone } from './clone.ts'

const isRoot = process.getuid?.() === 0
const APT = '-o DPkg::Lock::Timeout=120'

/** An apt-get that installs a program into the clone's PATH. */
async function addAptGet(clone: Awaited<ReturnType<typeof useClone>>) {
  await clone.addTool(
    'apt-get',
    `case "$*" in *" install "*) printf '#!/bin/sh\\n' > ${clone.bin}/redis-server; /bin/chmod +x ${clone.bin}/redis-server;; esac`,
  )
  await clone.addTool('systemctl')
  await clone.addTool('service')
}

test('dev without a redis-server, and without the means to install one, says what to do', async () => {
  const clone = await useClone()
  const { code, stdout, stderr } = await clone.launch(['dev']).ended
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain('(cli.launch.no_redis)')
  expect(stderr).toContain('REDIS_URL')
})

test('root on Debian gets redis-server from apt-get, without the recommended packages; other users get an error', async () => {
  const clone = await useClone()
  await addAptGet(clone)
  const { code, stderr } = await clone.launch(['dev']).ended
  const calls = (await clone.calls()).filter((line) => line.startsWith('apt-get'))
  if (isRoot) {
    expect(code).toBe(0)
    expect(calls).toEqual([`apt-get ${APT} update`, `apt-get ${APT} install -y --no-install-recommends redis-server`])
  } else {
    expect({ code, calls }).toEqual({ code: 1, calls: [] })
    expect(stderr).toContain('(cli.launch.no_redis)')
  }
})

test('if apt-get fails, root sees its output; other users get an error', async () => {
  const clone = await useClone()
  await clone.addTool('apt-get', 'echo "no network" >&2; exit 100')
  const { code, stderr } = await clone.launch(['dev']).ended
  expect(code).toBe(1)
  expect(stderr).toContain(isRoot ? '(cli.launch.redis_install_failed):\nno network' : '(cli.launch.no_redis)')
})

test.each([
  ['dev with one on PATH', ['dev'], true, {}],
  ['dev with REDIS_URL', ['dev'], false, { REDIS_URL: 'redis://127.0.0.1:6379' }],
  ['dev --help', ['dev', '--help'], false, {}],
  ['relay', ['relay'], false, {}],
  ['simulate', ['simulate'], false, {}],
  ['a tool that needs none', ['--run', 'node', '--version'], false, {}],
  ['a tool that needs one, on PATH', ['--redis', '--run', 'node', '--version'], true, {}],
] as const)('%s installs no redis-server', async (_what, args, isThere, env) => {
  const clone = await useClone()
  await clone.addTool('apt-get')
  if (isThere) await clone.addTool('redis-server')
  expect((await clone.launch(args, env).ended).code).toBe(0)
  expect((await clone.calls()).filter((line) => !line.startsWith('npm'))).toEqual([])
})

test('--redis needs a redis-server even if REDIS_URL names a server, because the tests kill their own', async () => {
  const clone = await useClone()
  const { code, stderr } = await clone.launch(['--redis', '--run', 'node', '--version'], {
    REDIS_URL: 'redis://127.0.0.1:6379',
  }).ended
  expect(code).toBe(1)
  expect(stderr).toContain('(cli.launch.no_redis)')
  expect(stderr).not.toContain('REDIS_URL')
})
