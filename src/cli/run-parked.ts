import { RelayError } from '../relay/errors.ts'
import { readConfig } from '../relay/index.ts'
import { createShutdown } from '../runtime/index.ts'
import { readRelayConfig } from './relay-config.ts'
import { exportParked, listParked, printTakenOut, showParked, type ParkedScope } from './parked-actions.ts'

/** The options of `enigma-relay parked` as commander reads them. */
export type ParkedArguments = {
  readonly source?: string
  readonly reason?: string
  /** Unix time, ms. */
  readonly since?: number
  readonly json: boolean
  readonly show?: string
  readonly retry?: true | readonly string[]
  readonly drop?: true | readonly string[]
  readonly export?: string
  readonly all: boolean
  readonly yes: boolean
}

/** Ends with exit code 2 and these words. */
type Refuse = (words: string) => never

/** `enigma-relay parked`: shows what the relay put aside, sends it again, exports or drops it. @throws ConfigError, RelayError */
export async function runParked(options: ParkedArguments, refuse: Refuse): Promise<void> {
  const action = readAction(options, refuse)
  const isDryRun = action.name === 'drop' && !options.yes
  const sends = action.name === 'retry' || (action.name === 'drop' && options.yes)
  // Where nothing is sent, no region and no route table are needed.
  const sending = sends ? await readRelayConfig(process.env) : undefined
  const region = process.env['AWS_REGION']?.trim() || 'none'
  const config = sending?.config ?? readConfig({ ...process.env, AWS_REGION: region })
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
    else if (sending !== undefined) await printTakenOut(scope, sending, action.name)
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

/** What is to be done; `ids`: with these only, each of which must be there. */
type ParkedAction =
  | { readonly name: 'list'; readonly ids?: undefined }
  | { readonly name: 'show'; readonly ids: readonly string[] }
  | { readonly name: 'export'; readonly ids?: undefined; readonly file: string }
  | { readonly name: 'retry' | 'drop'; readonly ids?: readonly string[] | undefined }

/** Finds out what is to be done. */
function readAction({ show, retry, drop, export: file, all, yes }: ParkedArguments, refuse: Refuse): ParkedAction {
  const named = Object.entries({ show, retry, drop, export: file }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`],
  )
  if (named.length > 1) refuse(`${named.join(' and ')} cannot be combined`)
  if (yes && drop === undefined) refuse('--yes is only for --drop')
  const taken = retry ?? drop
  if (taken === undefined) {
    if (all) refuse('--all is only for --retry or --drop')
    if (show !== undefined) return { name: 'show', ids: [show] }
    return file === undefined ? { name: 'list' } : { name: 'export', file }
  }
  const name = retry === undefined ? 'drop' : 'retry'
  if (taken === true && !all) refuse(`--${name} needs ids, or --all for every entry that matches the filters`)
  if (taken !== true && all) refuse(`--${name} accepts ids or --all, not both`)
  return { name, ids: taken === true ? undefined : taken }
}
