import { readdir, readFile, readlink } from 'node:fs/promises'
import { onTestFinished } from 'vitest'
import { LAUNCHER, start, type Running } from '../cli/run.ts'

const TOKEN = 'the-token-of-this-test-of-32-characters'

/** Starts `enigma-relay dev` with separate state and free ports. */
export function startDev(
  folder: string,
  args: readonly string[],
  env: Record<string, string> = {},
  command: readonly string[] = [process.execPath, LAUNCHER, 'dev'],
): Running {
  const [program = '', ...first] = command
  onTestFinished(async () => {
    for (const pid of await processesOf(folder)) kill(pid)
  })
  return start(program, [...first, ...args], {
    env: {
      ENIGMA_DATA_DIR: folder,
      ENIGMA_API: '127.0.0.1:0',
      ENIGMA_HTTP: '127.0.0.1:0',
      API_TOKEN: TOKEN,
      ...env,
    },
  })
}

/** Waits until `dev` has printed the address of a part, and returns it. */
export async function addressOf(dev: Running, part: string): Promise<string> {
  const line = new RegExp(`^${part} +(\\S+)`, 'm')
  await dev.says(line)
  return line.exec(dev.output().stdout)?.[1] as string
}

export async function get(
  dev: Running,
  path: string,
  token = TOKEN,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch((await addressOf(dev, 'read API')) + path, {
    headers: { authorization: `Bearer ${token}` },
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

/** Finds the processes of `dev` by its folder: in their environment, or as working directory (a redis-server's title overwrites its environment). */
export async function processesOf(folder: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = pids.map(async (pid) => {
    const [environment, cwd] = await Promise.all([
      readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''),
      readlink(`/proc/${pid}/cwd`).catch(() => ''),
    ])
    return environment.includes(folder) || cwd.startsWith(folder) ? [Number(pid)] : []
  })
  return (await Promise.all(found)).flat()
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // The process has already ended.
  }
}

/** Matches the line that `dev` prints once a second: the time and ten figures. */
export const FIGURES = /^\d\d:\d\d:\d\d (?:[\d./kM]+ +){10}/m
