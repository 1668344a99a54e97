import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'

/** Says what the launcher cannot do: one sentence for the user, with what to do about it, and a code of docs/logs.md. */
export class LaunchProblem extends Error {
  constructor(code, message, exitCode = 1) {
    super(message)
    this.name = 'LaunchProblem'
    this.code = code
    this.exitCode = exitCode
  }
}

/** To standard error: standard output belongs to the command. */
export function say(text) {
  process.stderr.write(`enigma-relay: ${text}\n`)
}

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** One key press can come from the terminal and from npm; so near together they are one. */
const SAME_PRESS_MS = 1_000

/**
 * Runs a program with this process' input and output and resolves, when it has ended, with the exit code to end with.
 *
 * A signal is passed on once. Ctrl-C in a terminal reaches the child without us as well: the CLI knows a copy when it sees one
 * (`passTerminalSignals`), other tools do not and are then left to the terminal.
 */
export function run(command, args, { passTerminalSignals = false, onOutput, ...options }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', ...options })
    child.stdout?.on('data', onOutput)
    child.stderr?.on('data', onOutput)
    const passedAt = new Map()
    const pass = (signal) => {
      const now = performance.now()
      if (now - (passedAt.get(signal) ?? -Infinity) < SAME_PRESS_MS) return
      passedAt.set(signal, now)
      if (signal === 'SIGINT' && !passTerminalSignals && isInForeground()) return
      child.kill(signal)
    }
    for (const signal of FORWARDED) process.on(signal, pass)
    const watch = watchParent(() => child.kill('SIGTERM'))
    const end = () => {
      clearInterval(watch)
      for (const signal of FORWARDED) process.off(signal, pass)
    }
    child.once('error', (error) => {
      end()
      const what = error.code === 'ENOENT' ? 'the program does not exist' : error.message
      reject(new LaunchProblem('cli.launch.cannot_run', `cannot run ${command}: ${what}`, 127))
    })
    child.once('close', (code, signal) => {
      end()
      resolve(code ?? 128 + (constants.signals[signal] ?? 0))
    })
  })
}

/**
 * npm and npx pass a signal on to the shell between us and them, which ends without a word to its children. So where one of them
 * has started us, the end of the parent is the signal. A relay that was started by hand may outlive its shell.
 */
function watchParent(onEnd) {
  if (process.env.npm_command === undefined) return undefined
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    onEnd()
  }, 500)
  return watch
}

/** Whether a terminal sends its Ctrl-C to this process, and so to its children. */
function isInForeground() {
  try {
    // Fields 5 and 8 of proc_pid_stat(5), counted behind the program's name: the process group, and the terminal's.
    const fields = readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return fields[2] === fields[5]
  } catch {
    return process.stdin.isTTY === true
  }
}
