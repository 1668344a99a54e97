import { RelayError } from '../relay/errors.ts'
import { readConfig, type RelayConfig } from '../relay/index.ts'
import { createShutdown, type Env } from '../runtime/index.ts'
import { readAction, type ParkedArguments } from './parked-arguments.ts'
import { exportParked, listParked, showParked } from './parked-look.ts'
import type { ParkedScope } from './parked-scope.ts'
import { printTakenOut } from './parked-take-out.ts'

/**
 * `enigma-relay parked`: shows what the relay put aside, sends it again, exports or drops it.
 *
 * @param refuse ends with exit code 2 and these words
 * @throws ConfigError, RelayError
 */
export async function runParked(options: ParkedArguments, refuse: (words: string) => never): Promise<void> {
  const action = readAction(options, refuse)
  const isDryRun = action.name === 'drop' && !options.yes
  const config = readParkedConfig(process.env, action.name === 'retry' || (action.name === 'drop' && options.yes))
  const sources = config.sources.filter(({ id }) => options.source === undefined || id === options.source)
  if (sources.length === 0)
    refuse(`ENIGMA_SOURCES has no source "${options.source}", only ${config.sources.map(({ id }) => id).join(', ')}`)
  // A reader that has seen enough, such as head, closes the pipe.
  process.stdout.on('error', () => process.exit(1))
  const shutdown = createShutdown(process)
  const scope: ParkedScope = {
    sources,
    filter: { ids: action.ids && new Set(action.ids), reason: options.reason, sinceMs: options.since },
    unseen: new Set(action.ids),
    json: options.json,
    dataDir: config.dataDir,
    signal: shutdown.signal,
  }
  try {
    if (action.name === 'list' || isDryRun) await listParked(scope)
    else if (action.name === 'show') await showParked(scope)
    else if (action.name === 'export') await exportParked(scope, action.file)
    else await printTakenOut(scope, config, action.name)
  } finally {
    shutdown.dispose()
  }
  if (scope.unseen.size > 0)
    throw new RelayError(
      'relay.parked.not_found',
      `no parked notification has these ids: ${[...scope.unseen].join(', ')}`,
    )
  if (isDryRun) refuse('nothing was deleted: add --yes to delete these entries permanently')
}

/** Where nothing is sent, no region is needed. */
function readParkedConfig(env: Env, sends: boolean): RelayConfig {
  return readConfig(sends ? env : { ...env, AWS_REGION: env['AWS_REGION']?.trim() || 'none' })
}
