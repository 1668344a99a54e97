import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll } from 'vitest'
import { bundleConsole, writeConsole, type ConsoleBundle } from '../../infra/build/bundle-console.ts'
import type { ConsoleFiles } from '../../src/api/index.ts'
import { readConsole } from '../../src/lambda/handle-url.ts'

/** Builds the console for all tests of a file, and deletes it after them. Call it outside of tests. */
export async function useConsole(): Promise<{ readonly bundle: ConsoleBundle; readonly files: ConsoleFiles }> {
  const folder = await mkdtemp(join(tmpdir(), 'enigma-console-'))
  afterAll(() => rm(folder, { recursive: true, force: true }))
  const bundle = await bundleConsole()
  await writeConsole(bundle, folder)
  return { bundle, files: readConsole(pathToFileURL(`${folder}/`)) }
}
