import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createTurns } from '../../runtime/index.ts'
import { StreetError } from '../street-error.ts'

/** A process as it can be known again: ids are used anew, but not with the same start. */
type Known = { readonly pid: number; readonly start: string }

type Record = Known & { readonly children: readonly Known[] }

/** How long (ms) a child of a killed run gets to end. */
const END_MS = 5_000

/**
 * Holds the folder: two streets on the same files would ruin them. What a killed run has left running is ended first.
 *
 * @throws StreetError `dev.street.already_running`
 */
export async function holdDataDir(folder: string) {
  const file = join(folder, 'dev.json')
  await mkdir(folder, { recursive: true })
  const former = await readRecord(file)
  if (former !== undefined && (await isAlive(former))) {
    throw new StreetError(
      'dev.street.already_running',
      `dev is already running as process ${former.pid}: stop it first (only one process can use the state in ${folder})`,
    )
  }
  for (const child of former?.children ?? []) await end(child)

  const self = { pid: process.pid, start: (await readStart(process.pid)) ?? '' }
  const children: Known[] = []
  // Two at once would leave something between the two.
  const inTurn = createTurns()
  // Never half of it, nor none: a run that is killed just now has children as well.
  const write = async (): Promise<void> => {
    await writeFile(`${file}.new`, JSON.stringify({ ...self, children } satisfies Record))
    await rename(`${file}.new`, file)
  }
  await inTurn(write)
  return {
    /** Takes note of a child, so that the next run ends it when this process is killed and cannot. */
    noteChild: async (pid: number): Promise<void> => {
      children.push({ pid, start: (await readStart(pid)) ?? '' })
      await inTurn(write)
    },
    release: () => inTurn(() => rm(file, { force: true })),
  }
}

export type DataDir = Awaited<ReturnType<typeof holdDataDir>>

async function readRecord(file: string): Promise<Record | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Record
  } catch {
    // None, or cut off by a crash of the machine, after which no process is left.
    return undefined
  }
}

async function isAlive({ pid, start }: Known): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  return ((await readStart(pid)) ?? '') === start
}

/** When a process was started, in the kernel's words; undefined for one that has ended, and where there is no /proc. */
async function readStart(pid: number): Promise<string | undefined> {
  try {
    // Fields 3 and 22 of proc_pid_stat(5), counted behind the program's name, which may hold anything.
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

async function end(child: Known): Promise<void> {
  const until = performance.now() + END_MS
  while (await isAlive(child)) {
    process.kill(child.pid, performance.now() < until ? 'SIGTERM' : 'SIGKILL')
    // One that is frozen hears nothing else.
    process.kill(child.pid, 'SIGCONT')
    await delay(50)
  }
}
