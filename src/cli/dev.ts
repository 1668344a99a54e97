import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CliError } from './errors.ts'
import type { CallCentreArguments } from './program.ts'

export type DevArguments = CallCentreArguments & {
  readonly simulator: boolean
  readonly bundles: boolean
  readonly verbose: boolean
}

/** `enigma-relay dev`: the whole street until SIGINT or SIGTERM. @throws CliError, ConfigError, StreetError, RelayError */
export async function runDev(options: DevArguments): Promise<void> {
  const root = new URL('../../', import.meta.url)
  // The published package carries neither the functions nor what stands in for AWS.
  if (!existsSync(new URL('functions/api.ts', root)))
    throw new CliError(
      'cli.dev.no_clone',
      'dev needs the functions, which only a clone of the repository has: clone it and run npm run dev there',
    )
  const { showStreet } = await import('../local/show-street.ts')
  const { agents, speed, seed } = options
  await showStreet({
    process,
    folder: resolve(process.env['ENIGMA_DATA_DIR']?.trim() || fileURLToPath(new URL('.enigma', root))),
    callCentre: options.simulator ? { agents, speed, seed } : undefined,
    bundles: options.bundles,
    isVerbose: options.verbose,
  })
}
