import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import type { Template } from '../../infra/check/cloudformation.ts'
import { packageStack } from '../../src/local/street/bundles.ts'

/** Packages a stack as `npm run package` does, and deletes it after the tests of the file. */
export async function usePackaged(
  prefix = 'enigma-',
  parameters: readonly string[] = [],
): Promise<{ readonly folder: string; readonly template: Template }> {
  const folder = await mkdtemp(join(tmpdir(), 'enigma-package-'))
  afterAll(() => rm(folder, { recursive: true, force: true }))
  await packageStack(folder, prefix, parameters)
  return {
    folder,
    template: JSON.parse(await readFile(join(folder, 'cloudformation-template-update-stack.json'), 'utf8')) as Template,
  }
}
