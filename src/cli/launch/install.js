import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './child.js'
import { withLock } from './lock.js'
import { LaunchProblem, say } from './problem.js'

/** `npm ci` in the clone when node_modules is missing or not what package-lock.json says; quiet, unless it fails. */
export async function ensureInstalled(root) {
  if (isInstalled(root)) return
  await withLock(root, async () => {
    // Another launcher may have done it while this one waited.
    if (isInstalled(root)) return
    say('installing the dependencies (npm ci); this takes about a minute the first time …')
    let output = ''
    const [program, ...first] = findNpm()
    const args = [...first, 'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']
    const code = await run(program, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      onOutput: (chunk) => (output += chunk),
    })
    if (code !== 0)
      throw new LaunchProblem('cli.launch.install_failed', `npm ci failed (exit code ${code}):\n${output.trim()}`)
  })
}

/** npm notes what it has installed in a hidden lock file, written last: compare that with the one in git. */
function isInstalled(root) {
  const hidden = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(hidden)) return false
  const there = JSON.parse(readFileSync(hidden, 'utf8')).packages ?? {}
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || entry.link) return true
    const found = there[path]
    // Optional ones are for other machines, most of them.
    return found === undefined ? entry.optional === true || entry.devOptional === true : found.version === entry.version
  })
}

/** The npm that runs us, else the one on PATH. */
function findNpm() {
  const { npm_execpath: path = '' } = process.env
  return /npm-cli\.[cm]?js$/.test(path) && existsSync(path) ? [process.execPath, path] : ['npm']
}
