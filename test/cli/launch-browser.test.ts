import { expect, test } from 'vitest'
import { useClone } from './clone.ts'

const isRoot = process.getuid?.() === 0
const APT = '-o DPkg::Lock::Timeout=120'
const TOOL = ['--run', 'node', '--version']

/** An apt-get that puts what it is told to install on the clone's PATH. */
const addAptGet = (clone: Awaited<ReturnType<typeof useClone>>) =>
  clone.addTool(
    'apt-get',
    `case "$*" in *" install "*) for last; do :; done; printf '#!/bin/sh\\n' > ${clone.bin}/$last; /bin/chmod +x ${clone.bin}/$last;; esac`,
  )

test('a tool that needs a browser fails with the fix if there is none and it cannot be installed', async () => {
  const clone = await useClone()
  const { code, stdout, stderr } = await clone.launch(['--browser', ...TOOL]).ended
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(/chromium is not on PATH.*apt-get install chromium.*\(cli\.launch\.no_browser\)/)
  expect(stderr).not.toMatch(/redis/i)
})

test('root on Debian gets Chromium from apt-get, without the recommended packages; other users get an error', async () => {
  const clone = await useClone()
  await addAptGet(clone)
  const { code, stderr } = await clone.launch(['--browser', ...TOOL]).ended
  const calls = (await clone.calls()).filter((line) => !line.startsWith('npm'))
  if (isRoot) {
    expect(code).toBe(0)
    expect(calls).toEqual([`apt-get ${APT} update`, `apt-get ${APT} install -y --no-install-recommends chromium`])
  } else {
    expect({ code, calls }).toEqual({ code: 1, calls: [] })
    expect(stderr).toContain('(cli.launch.no_browser)')
  }
})

test('if apt-get fails, root sees its output; other users get an error', async () => {
  const clone = await useClone()
  await clone.addTool('apt-get', 'echo "no network" >&2; exit 100')
  const { code, stderr } = await clone.launch(['--browser', ...TOOL]).ended
  expect(code).toBe(1)
  expect(stderr).toContain(isRoot ? '(cli.launch.browser_install_failed):\nno network' : '(cli.launch.no_browser)')
})

test.each(['chromium', 'chromium-browser', 'google-chrome'])(
  'nothing is installed where %s is on PATH',
  async (name) => {
    const clone = await useClone()
    await clone.addTool('apt-get')
    await clone.addTool(name)
    expect((await clone.launch(['--browser', ...TOOL]).ended).code).toBe(0)
    expect((await clone.calls()).filter((line) => !line.startsWith('npm'))).toEqual([])
  },
)

test('a tool may need Redis and a browser, with the flags in either order', async () => {
  for (const flags of [
    ['--redis', '--browser'],
    ['--browser', '--redis'],
  ]) {
    const clone = await useClone()
    await clone.addTool('redis-server')
    await clone.addTool('chromium')
    const { code, stdout } = await clone.launch([...flags, ...TOOL]).ended
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^v\d/)])
    const without = await useClone()
    await without.addTool('redis-server')
    expect((await without.launch([...flags, ...TOOL]).ended).stderr).toContain('(cli.launch.no_browser)')
  }
})
