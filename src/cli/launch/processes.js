import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/* Child processes of the launcher, and the lock that keeps other processes of the clone from doing the same work. */

/** Reports that the launcher failed. The message tells the user what happened and how to fix it; docs/logs.md explains the code. */
export class LaunchProblem extends Error {
  constructor(code, message, exitCode = 1) {
    super(message)
    this.name = 'LaunchProblem'
    this.code = code
    this.exitCode = exitCode
  }
}

/** Prints to standard error, because standard output belongs to the command. */
export function say(text) {
  process.stderr.write(`enigma-relay: ${text}\n`)
}

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** The terminal and npm can both deliver the signal of one key press. Two signals within this time count as one. */
const SAME_PRESS_MS = 1_000

/**
 * Runs a program with the input and output of this process. Resolves with the exit code that this process should return.
 *
 * Each signal is forwarded once. A terminal also sends Ctrl-C to the child directly. The CLI ignores the second copy
 * (`passTerminalSignals`). Other tools do not, so for them Ctrl-C is not forwarded.
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
 * Calls `onEnd` when the parent process ends, if npm or npx started this process. They forward a signal to the shell in between, which
 * exits without telling its children. A relay that a user started from a shell may outlive that shell.
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

/** Returns true if a terminal sends Ctrl-C to this process, and therefore to its children. */
function isInForeground() {
  try {
    // Fields 5 and 8 of proc_pid_stat(5), counted after the program's name: the process group, and the terminal's foreground group.
    const fields = fs
      .readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return fields[2] === fields[5]
  } catch {
    return process.stdin.isTTY === true
  }
}

const BEAT_MS = 1_000
/** The owner touches its lock once a second. A lock that is older than this belongs to a process that was killed. */
const STALE_MS = 10_000

/**
 * Runs `body` while no other process of this clone holds the lock `name`: both would write to the same folder.
 *
 * @template T
 * @param {string} root the folder of the clone
 * @param {() => Promise<T>} body
 * @param {string} [name]
 * @param {string} [doing] what the holder of the lock is doing, for the message of a process that waits
 * @returns {Promise<T>}
 */
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
