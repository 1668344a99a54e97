import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Report } from './sqs-stand-in.ts'

const here = (file: string) => new URL(file, import.meta.url).pathname

/** A process of the bench: started with Node, ended by `stop`. */
export type Running = { readonly child: ChildProcess; stop: () => Promise<void> }

export function startNode(file: string, args: readonly string[], env: Record<string, string>): Running {
  const child = spawn(process.execPath, ['--conditions=source', '--disable-warning=ExperimentalWarning', here(file), ...args], {
    env: { ...process.env, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 15_000)
    await exited
    clearTimeout(timer)
  }
  return { child, stop }
}

/** Resolves with the first line that matches; what comes later is read and dropped, so that the process never waits. */
export function firstLine({ child }: Running, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-10_000)
      const match = pattern.exec(text)
      if (match !== null) resolve(match[0])
    })
    child.once('exit', (code) => reject(new Error(`a process of the bench ended too early (${code}): ${text}`)))
  })
}

export async function startStandIn(delayMs: number) {
  const running = startNode('./sqs-stand-in.ts', [], { DELAY_MS: String(delayMs) })
  const endpoint = await firstLine(running, /http:\S+/)
  const report = async (expected: number) => (await (await fetch(`${endpoint}/report?expected=${expected}`)).json()) as Report
  return { ...running, endpoint, report }
}

/** The relay as a user runs it, with a journal folder of its own; resolves when it serves. */
export async function startRelay(redisUrl: string, endpoint: string, lists: string) {
  const dataDir = await mkdtemp(join(tmpdir(), 'enigma-bench-'))
  const running = startNode('../src/cli/main.ts', ['relay'], {
    ENIGMA_SOURCES: `main=${redisUrl}`, ENIGMA_LISTS: lists, ENIGMA_DATA_DIR: dataDir, ENIGMA_RELAY_ID: 'bench', ENIGMA_HTTP: '127.0.0.1:0',
    AWS_ENDPOINT_URL_SQS: endpoint, ENIGMA_LOG_LEVEL: 'info',
  })
  const address = await firstLine(running, /http:\/\/[\d.:]+/)
  const stop = async () => {
    await running.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { ...running, address, stop }
}

/** CPU time (ms, user and system) that a process has used. Source: proc(5), fields 14 and 15, in ticks of 10 ms. */
export function cpuMs({ child }: Running): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** The most memory (MB) that a process has had. */
export function peakRssMb({ child }: Running): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
}

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
