import { readFileSync, writeFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from './append-file.ts'
import { formatPosition, parsePosition, type Position } from './position.ts'

/** What a folder knows of itself beside the packets. */
export type State = {
  /** A random word, in the name of the key under which Redis knows the folder. */
  readonly id: string
  /** All before it is pushed. */
  readonly position?: Position | undefined
}

const FILE = 'state.json'

const format = ({ id, position }: State): string =>
  `${JSON.stringify({ id, ...(position && { position: formatPosition(position) }) })}\n`

/** Undefined when there is none, or none that can be read. */
export function readState(folder: string): State | undefined {
  try {
    const { id, position } = JSON.parse(readFileSync(join(folder, FILE), 'utf8')) as Record<string, unknown>
    return typeof id === 'string' ? { id, position: parsePosition(String(position)) } : undefined
  } catch {
    return undefined
  }
}

export function writeFirstState(folder: string, state: State): void {
  writeFileSync(join(folder, FILE), format(state), { mode: 0o600, flush: true })
}

/** Replaces it in one step: after a crash there is the old one or the new one. */
export async function writeState(folder: string, state: State): Promise<void> {
  const next = join(folder, `${FILE}.next`)
  const handle = await open(next, 'w', 0o600)
  try {
    await handle.writeFile(format(state))
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(next, join(folder, FILE))
  await syncFolder(folder)
}
