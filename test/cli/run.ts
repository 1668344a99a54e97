import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CommanderError } from 'commander'
import { expect, onTestFinished, vi } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
export const LAUNCHER = fileURLToPath(new URL('../../src/cli/launch.js', import.meta.url))

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

export type Running = {
  readonly child: ChildProcess
  readonly output: () => { readonly stdout: string; readonly stderr: string }
  /** Waits until it has written these words. */
  says: (words: string | RegExp) => Promise<void>
  readonly ended: Promise<Ended>
}

/**
 * Starts a program in a process group of its own; killed with all its children, if it still runs, when the test ends. Of the
 * environment it gets PATH and HOME, and what is given.
 */
export function start(
  command: string,
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Running {
  const { PATH = '', HOME = '/' } = process.env
  const child = spawn(command, args, {
    cwd: options.cwd ?? ROOT,
    env: { PATH, HOME, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  onTestFinished(() => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // All have ended.
    }
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const closed = once(child, 'close')
  const ended = closed.then(([code]) => ({ code: code as number | null, stdout, stderr }))
  const has = (words: string | RegExp) =>
    typeof words === 'string' ? (stdout + stderr).includes(words) : words.test(stdout + stderr)
  return {
    child,
    output: () => ({ stdout, stderr }),
    ended,
    says: async (words) => {
      let hasEnded = false
      void ended.then(() => {
        hasEnded = true
      })
      while (!has(words)) {
        if (hasEnded) throw new Error(`ended without saying ${String(words)}:\n${stdout}${stderr}`)
        await delay(10)
      }
    },
  }
}

/** The machine's own Node, which may be older than the one that runs this. */
export function findOwnNode(): string {
  for (const folder of (process.env['PATH'] ?? '').split(':')) {
    const node = join(folder, 'node')
    if (
      existsSync(node) &&
      Number(execFileSync(node, ['-p', 'parseInt(process.versions.node)'], { encoding: 'utf8' })) < 24
    )
      return node
  }
  return process.execPath
}

/** Runs the CLI to its end, as the launcher would. */
export function runCli(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const flags = ['--conditions=source', '--disable-warning=ExperimentalWarning']
  // Node's cache of compiled TypeScript, so that the CLI starts quickly.
  const { NODE_COMPILE_CACHE = '' } = process.env
  return start(process.execPath, [...flags, MAIN, ...args], { env: { NODE_COMPILE_CACHE, ...env } }).ended
}

/** Returns the error of the CLI for invalid arguments. It runs in this process, so pass only arguments that are rejected. */
export async function refusalOf(args: readonly string[]): Promise<string> {
  const printed = vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
  try {
    await expect(createProgram().parseAsync(args, { from: 'user' })).rejects.toBeInstanceOf(CommanderError)
    return printed.mock.calls.map(([text]) => String(text)).join('')
  } finally {
    printed.mockRestore()
  }
}
