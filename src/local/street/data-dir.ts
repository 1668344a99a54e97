import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createTurns } from '../../runtime/index.ts'
import { StreetError } from '../street-error.ts'

/** A process, identified by its id and start time, because ids are reused. */
type Known = { readonly pid: number; readonly start: string }

type Record = Known & { readonly children: readonly Known[] }

/** The time (ms) after which a child of a killed run gets SIGKILL instead of SIGTERM. */
const MAX_END_MS = 5_000

/**
 * Locks the folder, because two streets would corrupt each other's files. First ends the processes that a killed run left behind.
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
  // Two concurrent writes would mix their contents.
  const inTurn = createTurns()
  // The file is replaced in one step, so that a run that is killed now leaves a complete list of its children.
  const write = async (): Promise<void> => {
    await writeFile(`${file}.new`, JSON.stringify({ ...self, children } satisfies Record))
    await rename(`${file}.new`, file)
  }
  await inTurn(write)
  return {
    /** Records a child process. If this process is killed, the next run ends the child. */
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
    // The file is missing, or a crash of the machine cut it off. After such a crash no process is left.
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

/** Returns the start time of a process as the kernel reports it. Undefined if the process has ended, or where there is no /proc. */
async function readStart(pid: number): Promise<string | undefined> {
  try {
    // Fields 3 and 22 of proc_pid_stat(5), counted after the program's name, which may contain any character.
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

async function end(child: Known): Promise<void> {
  const until = performance.now() + MAX_END_MS
  while (await isAlive(child)) {
    process.kill(child.pid, performance.now() < until ? 'SIGTERM' : 'SIGKILL')
    // A frozen process receives no other signal.
    process.kill(child.pid, 'SIGCONT')
    await delay(50)
  }
}
