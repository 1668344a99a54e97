import * as fs from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { LaunchProblem, run, say } from './child.js'

/** Runs `npm ci` in the clone if node_modules is missing or differs from package-lock.json. Prints npm's output only if it fails. */
export async function ensureInstalled(root) {
  if (isInstalled(root)) return
  await withLock(root, async () => {
    // Another launcher may have installed them while this one waited.
    if (isInstalled(root)) return
    say('installing the dependencies (npm ci); this takes about a minute the first time …')
    const [program, ...first] = findNpm()
    const args = [...first, 'ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error']
    const { code, output } = await capture(program, args, { cwd: root })
    if (code !== 0)
      throw new LaunchProblem('cli.launch.install_failed', `npm ci failed (exit code ${code}):\n${output}`)
  })
}

/** Compares package-lock.json with the hidden lock file in which npm records what it installed. npm writes that file last. */
function isInstalled(root) {
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
export async function ensureRedis(root, { forTests }) {
  if (!forTests && process.env.REDIS_URL) return
  await ensureProgram(root, REDIS, forTests ? '' : ', or set REDIS_URL=redis://host:port to a running server,')
}

/** Installs Chromium for the tests of the console if it is missing. */
export const ensureBrowser = (root) => ensureProgram(root, BROWSER, '')

/** Installs a missing program with apt-get if this process may, else throws an error that says how. @param orElse another remedy for that error */
async function ensureProgram(root, wanted, orElse) {
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

const BEAT_MS = 1_000
/** The owner touches its lock once a second. A lock that is older than this belongs to a process that was killed. */
const STALE_MS = 10_000

/** Runs `body` while no other process of this clone holds the lock `name`: both would write to the same folder. */
export async function withLock(root, body, name = 'install', doing = 'is installing') {
  const folder = join(root, '.enigma')
  const file = join(folder, `${name}.lock`)
  fs.mkdirSync(folder, { recursive: true })
  for (let said = false; !take(file); said = true) {
    if (!said) say(`waiting for another enigma-relay that ${doing} …`)
    await delay(200)
  }
  const beat = setInterval(() => {
    const now = new Date()
    try {
      fs.utimesSync(file, now, now)
    } catch {
      // Somebody removed the lock by hand. The work continues.
    }
  }, BEAT_MS)
  try {
    return await body()
  } finally {
    clearInterval(beat)
    fs.rmSync(file, { force: true })
  }
}

function take(file) {
  try {
    fs.writeFileSync(file, `${process.pid}\n`, { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
  }
  const age = ageMs(file)
  if (age === undefined || age < STALE_MS) return false
  // Renaming is atomic: of several processes that find the lock stale, one gets it. A process that got a fresh lock by mistake puts it back.
  const aside = `${file}.${process.pid}`
  try {
    fs.renameSync(file, aside)
    if ((ageMs(aside) ?? STALE_MS) < STALE_MS) fs.linkSync(aside, file)
  } catch {
    // Another process was faster.
  }
  fs.rmSync(aside, { force: true })
  return false
}

function ageMs(file) {
  try {
    return Date.now() - fs.statSync(file).mtimeMs
  } catch {
    return undefined
  }
}
