import { chmod, cp, mkdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { useFolder } from '../support/relay.ts'
import { ROOT, start, type Running } from './run.ts'

/** The calls of npm and of the tools on PATH with their arguments, one per line. */
type Calls = () => Promise<string[]>

export type Clone = {
  readonly folder: string
  /** The only folder on PATH. */
  readonly bin: string
  readonly calls: Calls
  launch: (args: readonly string[], env?: Record<string, string>) => Running
  /** Adds a shell script to PATH that records its call and then runs `script`. */
  addTool: (name: string, script?: string) => Promise<void>
  /** Writes a package-lock.json that requires this version. */
  lock: (version: string) => Promise<void>
  /** Creates the lock file of an install that began `agoMs` ago and has not touched it since. */
  leaveInstallLock: (agoMs: number) => Promise<void>
}

const NPM = `
const { appendFileSync, mkdirSync, copyFileSync } = require('node:fs')
appendFileSync(process.env.CALLS, 'npm ' + process.argv.slice(2).join(' ') + '\\n')
if (process.env.NPM_FAILS) { console.error('E404 nothing there'); process.exit(3) }
setTimeout(() => {
  mkdirSync('node_modules', { recursive: true })
  copyFileSync('package-lock.json', 'node_modules/.package-lock.json')
}, 300)
`

/** A clone in which the launcher is real; npm and the CLI only say that they were called. */
export async function useClone(): Promise<Clone> {
  const folder = await useFolder()
  const bin = join(folder, 'bin')
  const log = join(folder, 'calls')
  await mkdir(bin)
  await mkdir(join(folder, 'src/cli'), { recursive: true })
  await cp(join(ROOT, 'src/cli/launch.js'), join(folder, 'src/cli/launch.js'))
  await cp(join(ROOT, 'src/cli/launch'), join(folder, 'src/cli/launch'), { recursive: true })
  await writeFile(join(folder, 'src/cli/main.ts'), `console.log('the CLI has', ...process.argv.slice(2))\n`)
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  await writeFile(join(folder, 'npm-cli.cjs'), NPM)
  const lock = (version: string) =>
    writeFile(
      join(folder, 'package-lock.json'),
      JSON.stringify({
        packages: { '': {}, 'node_modules/a': { version }, 'node_modules/b': { version, optional: true } },
      }),
    )
  await lock('1.0.0')
  return {
    folder,
    bin,
    lock,
    calls: async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').filter((line) => line !== ''),
    launch: (args, env) =>
      start(process.execPath, [join(folder, 'src/cli/launch.js'), ...args], {
        cwd: folder,
        env: { PATH: bin, CALLS: log, npm_execpath: join(folder, 'npm-cli.cjs'), ...env },
      }),
    addTool: async (name, script = '') => {
      await writeFile(join(bin, name), `#!/bin/sh\necho "${name} $*" >> "$CALLS"\n${script}\n`)
      await chmod(join(bin, name), 0o755)
    },
    leaveInstallLock: async (agoMs) => {
      const file = join(folder, '.enigma/install.lock')
      const then = new Date(Date.now() - agoMs)
      await mkdir(join(folder, '.enigma'), { recursive: true })
      await writeFile(file, '1\n')
      await utimes(file, then, then)
    },
  }
}
