import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A process of the bench, ended by `stop`. */
export type Running = { readonly child: ChildProcess; stop: () => Promise<void> }

const START_MS = 30_000
const STOP_MS = 15_000

/** Returns whether a variable of the shell, or of `npm run`, would change the result. */
const isForeign = (name: string) => /^(ENIGMA|AWS|UPSTASH)_|^NODE_(OPTIONS|COMPILE_CACHE|ENV)$|_proxy$/i.test(name)

/** Starts a TypeScript file beside this one. */
export function startNode(file: string, env: Record<string, string>): Running {
  const flags = ['--conditions=source', '--disable-warning=ExperimentalWarning']
  const cache = process.env['NODE_COMPILE_CACHE']
  return startProgram(process.execPath, [...flags, fileURLToPath(new URL(file, import.meta.url))], {
    ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }),
    ...env,
  })
}

/** Starts a program. It inherits the environment, except variables that would change the result. */
export function startProgram(command: string, args: readonly string[], env: Record<string, string>): Running {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !isForeign(name)))
  const child = spawn(command, args, {
    env: { ...inherited, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await exited
    clearTimeout(timer)
  }
  return { child, stop }
}

/** Resolves with the first match in the output. Later output is read and dropped, so that the process never blocks. */
export function firstMatch({ child }: Running, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const timer = setTimeout(
      () => reject(new Error(`a process of the bench did not start within ${START_MS} ms: ${text}`)),
      START_MS,
    )
    child.stdout?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-10_000)
      const match = pattern.exec(text)
      if (match === null) return
      clearTimeout(timer)
      resolve(match[0])
    })
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`a process of the bench ended too early (${code}): ${text}`))
    })
  })
}

/** Returns the CPU time (ms, user and system) that a process has used. Source: proc(5), fields 14 and 15 of `stat`, in ticks of 10 ms. */
export function cpuMs({ child }: Running): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Returns the resident memory (MB) of a process: its maximum (`VmHWM`), or its present size (`VmRSS`). Source: proc(5), `status`. */
export function rssMb({ child }: Running, field: 'VmHWM' | 'VmRSS'): number {
  return (
    Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  )
}
