import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run } from './child.js'
import { withLock } from './lock.js'
import { LaunchProblem, say } from './problem.js'

/**
 * Makes sure that there is a redis-server program to start. `dev` can do with a running one named by REDIS_URL; the tests and
 * the bench (`forTests`) start, kill and starve servers, which they do only to their own.
 */
export async function ensureRedis(root, { forTests }) {
  if (isOnPath('redis-server') || (!forTests && process.env.REDIS_URL)) return
  const canInstall = process.platform === 'linux' && process.getuid?.() === 0 && isOnPath('apt-get')
  if (!canInstall) {
    throw new LaunchProblem(
      'cli.launch.no_redis',
      'redis-server is not on PATH. Install it (Debian and Ubuntu: sudo apt-get install redis-server; macOS: brew install redis)' +
        (forTests ? ' and try again.' : ', or set REDIS_URL=redis://host:port to a running server, and try again.'),
    )
  }
  await withLock(root, () => install())
}

async function install() {
  if (isOnPath('redis-server')) return
  say('installing redis-server (apt-get), because it is not on PATH …')
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await aptGet(['update'], env)
  await aptGet(['install', '-y', '--no-install-recommends', 'redis-server'], env)
  await stopService(env)
  if (!isOnPath('redis-server'))
    throw new LaunchProblem(
      'cli.launch.no_redis',
      'apt-get has installed redis-server, but it is not on PATH: add /usr/bin to PATH.',
    )
}

async function aptGet(args, env) {
  const { code, output } = await capture('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args], env)
  if (code === 0) return
  throw new LaunchProblem(
    'cli.launch.redis_install_failed',
    `apt-get ${args.join(' ')} failed (exit code ${code}); install redis-server by hand:\n${output}`,
  )
}

/** The package starts a service where there is an init system. There was none before, so none is left behind. */
async function stopService(env) {
  if (existsSync('/run/systemd/system') && isOnPath('systemctl'))
    await capture('systemctl', ['disable', '--now', 'redis-server'], env)
  else if (isAlive('/run/redis/redis-server.pid') && isOnPath('service'))
    await capture('service', ['redis-server', 'stop'], env)
}

function isAlive(pidFile) {
  try {
    process.kill(Number(readFileSync(pidFile, 'utf8')), 0)
    return true
  } catch {
    return false
  }
}

async function capture(program, args, env) {
  let output = ''
  const code = await run(program, args, {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    onOutput: (chunk) => (output += chunk),
  })
  return { code, output: output.trim() }
}

function isOnPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return folder !== ''
    } catch {
      return false
    }
  })
}
